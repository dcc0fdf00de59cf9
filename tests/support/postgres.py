"""A real PostgreSQL on loopback for the tests: one server a session, a fresh database a test."""

import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from servers import free_port, wait_until

from pipeline.core.database_url import DatabaseUrl
from pipeline.storage.database import History
from pipeline.storage.history import open_history

REQUIRED = os.environ.get("POSTGRES_TESTS") == "required"  # where they are not to skip
USER, CAREFUL, PASSWORD = "history", "careful", "p@ss:w/rd %1"
# its data are not to outlive the machine; one user alone is asked for a password
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "60",
    **dict.fromkeys(("fsync", "full_page_writes", "synchronous_commit", "autovacuum"), "off"),
}
# as most servers order texts: not by bytes, as SQLite does
ENGLISH = "TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'en-US'"
ANEW = """
UPDATE master SET bytes = 0, rows = 0, rebuilding = 0, key_file = NULL, key_bytes = 0,
  buckets = NULL, mtime_ns = NULL, digest = NULL, log_file = NULL, log_bytes = NULL,
  log_mtime_ns = NULL, log_digest = NULL, last_file = 0,
  client_names = 'exact';
UPDATE server_state SET last_active = NULL;
SELECT setval(oid::regclass, 1, false) FROM pg_class WHERE relkind = 'S'
"""
RULES = f"""\
host all {CAREFUL} 127.0.0.1/32 scram-sha-256
host all all 127.0.0.1/32 trust
"""


def missing() -> str | None:
    """What the tests on PostgreSQL lack here."""
    if not importlib.util.find_spec("psycopg"):
        return "psycopg is not installed: pip install -r pipeline/requirements-postgres.txt"
    return None if _binaries() else "PostgreSQL is not installed (on Debian: postgresql)"


def kinds() -> list[str]:
    """The kinds of history that there are here: a test on one that is not would only skip."""
    return ["sqlite"] if missing() and not REQUIRED else ["sqlite", "postgresql"]


def _binaries() -> Path | None:
    """Where the server's programs are, which Debian does not put on the path."""
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    found = debian[-1] if debian else shutil.which("initdb")
    return Path(found).parent if found else None


@dataclass
class Server:
    """A server of its own, with its data in a folder of its own."""

    folder: Path
    port: int
    process: "subprocess.Popen[bytes] | None" = None

    def url(self, database: str, user: str = USER) -> str:
        return f"postgresql://{user}@127.0.0.1:{self.port}/{database}"

    def make(self) -> None:
        """Make the folder of its data."""
        where = [f"--pgdata={self.folder}/data", f"--username={USER}"]
        how = ["--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"]
        done = subprocess.run(
            self._command("initdb", *where, *how), cwd=self.folder, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        (self.folder / "data/pg_hba.conf").write_text(RULES)

    def start(self) -> None:
        """Start it; it answers when this returns."""
        settings = [f"--{name}={value}" for name, value in SETTINGS.items()]
        command = self._command("postgres", "-D", f"{self.folder}/data", f"--port={self.port}")
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen([*command, *settings], cwd=self.folder, stderr=log)
        wait_until(self.answers)

    def stop(self) -> None:
        """Stop it at once, whoever is connected."""
        if self.process:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(timeout=600)
            self.process = None

    def answers(self) -> bool:
        command = self._command("pg_isready", "--quiet", "--host=127.0.0.1", f"--port={self.port}")
        return subprocess.run(command, cwd=self.folder).returncode == 0

    def execute(self, database: str, sql: str) -> list[tuple[Any, ...]]:
        """Run statements as the one who may do everything; returns the rows of the last."""
        import psycopg

        with psycopg.connect(self.url(database), autocommit=True) as connection:
            cursor = connection.execute(sql)
            while cursor.nextset():
                pass
            return cursor.fetchall() if cursor.description else []

    def bare(self, database: str) -> str:
        """The URL of a database in which nothing is; to make one takes five times as long."""
        self.execute(database, "DROP SCHEMA public CASCADE; CREATE SCHEMA public")
        return self.url(database)

    def empty(self, database: str) -> str:
        """The URL of a database whose history is as it was when it was made."""
        rows = self.execute(database, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        tables = {table for (table,) in rows} - {"master", "server_state"}
        deleted = "; ".join(f"DELETE FROM {table}" for table in tables)
        self.execute(database, f"SET session_replication_role = replica; {deleted}; {ANEW}")
        return self.url(database)

    def connected(self) -> int:
        """How many connections of this project it has."""
        question = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'clientrisk%'"
        return int(self.execute("postgres", question)[0][0])

    def _command(self, program: str, *args: str) -> list[str]:
        """As another user where we are root, whom PostgreSQL refuses; it dies with us."""
        binaries = _binaries()
        assert binaries
        command = [str(binaries / program), *args]
        if os.geteuid() != 0:
            return command
        user = _owner()
        ids = [f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
        return ["setpriv", *ids, "--pdeathsig=INT", *command]


def _owner() -> pwd.struct_passwd:
    with suppress(KeyError):
        return pwd.getpwnam("postgres")
    return pwd.getpwnam("nobody")


@contextmanager
def server() -> Iterator[Server]:
    """A running server; it is gone at the end, and its folder too."""
    folder = Path(mkdtemp(prefix="postgres-"))  # pytest's own is closed to other users
    try:
        if os.geteuid() == 0:
            os.chown(folder, _owner().pw_uid, _owner().pw_gid)
        made = Server(folder, free_port())
        made.make()
        made.start()
        try:
            yield made
        finally:
            made.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def opened(place: Path | DatabaseUrl | str) -> History:
    """A history by its path or URL."""
    return open_history(DatabaseUrl(place) if isinstance(place, str) else place)
