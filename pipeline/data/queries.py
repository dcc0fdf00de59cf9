"""Databases as input: what one answers becomes a file of the input folder, whole or not at all."""

import codecs
import csv
import logging
import os
import re
import time
from collections.abc import Generator, Iterable, Sequence
from contextlib import closing
from datetime import date
from decimal import Decimal
from math import ceil
from pathlib import Path
from typing import Any
from urllib.parse import quote

from pipeline.core.connections import Query
from pipeline.core.errors import DataError, PipelineError
from pipeline.core.file_lock import file_lock
from pipeline.core.files import atomic_writer
from pipeline.core.limits import time_limit
from pipeline.core.schema import Format
from pipeline.data.number_forms import settled_decimal

log = logging.getLogger(__name__)

SLACK = 60  # seconds by which a tick may be nearer to an earlier one than planned
TOO_LONG = "it took longer than its {:g} seconds"
_LOGIN = re.compile(r"[^:/]+://[^/]*@")
_VARIABLE = re.compile(r"\$(?:(\w+)|\{(\w+)\})", re.ASCII)
# strict: of one that is read in another way, errors would repeat a part of the password
_URL = re.compile(r"[\w+.-]+://([^:@/]*(:[^:@/]*)?@)?([^]:@/[]*|\[[\w:.]+\])(:\d+)?(/[^@]*)?")

Answer = Generator[Sequence[Any], None, None]  # names of columns, then rows, one by one


def ask_due(queries: Iterable[Query], folder: Path, root: Path, form: Format) -> None:
    """Ask every query that is due; one that fails is told, and is due again at the next tick.

    SQLite files count from `root`. Of two runs, the second leaves a query to the first.
    """
    now = time.time()
    if not folder.is_dir():  # which the run goes on to say: a share may not be mounted
        return
    for query in queries:
        path = folder / f"{query.name}.csv"
        try:
            wait = query.every_hours * 3600 - SLACK
            if path.exists() and abs(now - path.stat().st_mtime) < wait:
                continue
            late = DataError(TOO_LONG.format(query.seconds))
            with file_lock(path.with_name(f".{path.name}.lock")), time_limit(query.seconds, late):
                rows = _write(path, _answer(query, root), form, now)
            log.info('query "%s": %s rows', query.name, f"{rows:,}")
        except (PipelineError, OSError, ImportError, ValueError) as error:
            why = " ".join(str(error).split())
            log.warning('query "%s" failed, and is asked again next time: %s', query.name, why)


def _write(path: Path, answer: Answer, form: Format, now: float) -> int:
    """Replace the file, in the form in which the config has files; returns the number of rows."""
    with atomic_writer(path) as file, closing(answer):
        text, rows = codecs.getwriter(form.encoding or "utf-8")(file), -1  # a header is none
        table = csv.writer(text, delimiter=form.delimiter or ",", lineterminator="\n")
        for row in answer:
            table.writerow([_text(value, form) for value in row])
            rows += 1
        if not rows:
            raise DataError("it has no rows; the file stays as it is")
        file.flush()
        os.utime(file.fileno(), (now, now))
    return rows


def _text(value: Any, form: Format) -> str:
    """A value as client files have it."""
    if isinstance(value, float):
        value = Decimal(repr(value))
    if isinstance(value, Decimal) and value.is_finite():
        text = f"{value:f}"  # without an exponent
        text = text.rstrip("0").rstrip(".") if "." in text else text
        return text.replace(".", settled_decimal(form) or ".")
    if isinstance(value, date):
        return value.strftime(form.date) if form.date else value.isoformat()
    return "" if value is None else str(int(value) if isinstance(value, bool) else value)


def _answer(query: Query, root: Path) -> Answer:
    """What the database answers; raises `DataError`, which shows no password."""
    url = _filled(query.url)
    if url.startswith("sqlite:///"):
        return _from_sqlite(root / url.removeprefix("sqlite:///"), query)
    if url.startswith(("postgresql://", "postgres://")):
        return _from_postgresql(url, query)
    return _from_sqlalchemy(url, query)


def _filled(url: str) -> str:
    """A URL with variables of the environment, encoded where they are user or password."""
    login = _LOGIN.match(url)

    def value(found: re.Match[str]) -> str:
        if (text := os.environ.get(found[1] or found[2])) is None:
            raise DataError(f"its url has {found[0]}, which the environment has not")
        return quote(text, safe="") if login and found.start() < login.end() else text

    return _VARIABLE.sub(value, url)


def _from_sqlite(path: Path, query: Query) -> Answer:
    import sqlite3

    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as connection:
            connection.set_progress_handler(lambda: 0, 10_000)  # in which an alarm is noticed
            cursor = connection.execute(query.select)
            yield [column[0] for column in cursor.description]
            yield from cursor
    except (sqlite3.Error, sqlite3.Warning) as error:
        late = getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_INTERRUPT
        raise DataError(TOO_LONG.format(query.seconds) if late else f"{path}: {error}") from error


def _from_postgresql(url: str, query: Query) -> Answer:
    import psycopg

    from pipeline.core.database_url import DatabaseUrl

    place = DatabaseUrl(url)
    how: dict[str, Any] = {"connect_timeout": "10", "client_encoding": "utf8"} | place.options
    try:
        with closing(psycopg.connect(url, **how)) as connection:
            connection.read_only = True
            connection.execute(f"SET statement_timeout = {ceil(query.seconds * 1000)}")
            with connection.cursor("answer") as cursor:
                cursor.itersize = 2_000
                cursor.execute(query.select)
                yield [column.name for column in cursor.description or ()]
                yield from cursor
    except psycopg.Error as error:
        raise DataError(f"{place}: {error.diag.message_primary or error}") from error


def _from_sqlalchemy(url: str, query: Query) -> Answer:
    import sqlalchemy

    if not _URL.fullmatch(url):
        raise DataError("its url is none: expected DIALECT://USER:PASSWORD@HOST/DATABASE")
    try:
        engine = sqlalchemy.create_engine(url, poolclass=sqlalchemy.NullPool)
        with engine.connect() as connection:  # nothing is ever committed
            connection.execution_options(stream_results=True, no_parameters=True)
            result = connection.exec_driver_sql(query.select)
            yield [*result.keys()]
            yield from result
    except sqlalchemy.exc.SQLAlchemyError as error:
        raise DataError(str(getattr(error, "orig", error))) from error
