"""The URL of a PostgreSQL database, as `history_path` may name one: shown without its password."""

import re
from typing import NoReturn
from urllib.parse import parse_qsl, unquote, urlencode

FORM = "postgresql://user@host:port/database, with special characters as %XX"

_HOST = r"(?:\[[\w:.%]+\]|[^][\s:,@/?#]*)(?::\d+)?"
_URL = re.compile(
    r"postgres(?:ql)?://(?:(?P<user>[^\s:@/?#]*)(?::[^\s@/?#]*)?@)?"
    rf"(?P<hosts>{_HOST}(?:,{_HOST})*)/(?P<database>[^\s@/?#]+)"
    r"(?:\?(?P<options>[^\s=&#]+=[^\s=&#]*(?:&[^\s=&#]+=[^\s=&#]*)*))?"
)
_NO_CHARACTER = re.compile(r"%(?![0-9A-Fa-f]{2})|%00")


class DatabaseUrl:
    """A database on a server; equal to any other URL of the same database, whatever the user.

    Raises `ValueError`, which does not repeat the URL, if it is none.
    """

    def __init__(self, url: str) -> None:
        # strict: libpq's errors would repeat what it reads in another way
        if not (found := _URL.fullmatch(url)) or _NO_CHARACTER.search(url):
            raise ValueError(f"expected {FORM}")
        self.with_password = url
        self.options = dict(parse_qsl(found["options"] or "", keep_blank_values=True))
        user, hosts, database = found["user"] or "", found["hosts"], found["database"]
        shown = {name: value for name, value in self.options.items() if "pass" not in name}
        self.name = f"postgresql://{user}{'@' * bool(user)}{hosts}/{database}"
        self.name += f"?{urlencode(shown)}" if shown else ""
        self._place = (
            self.options.get("host") or hosts.lower().replace(":5432", ""),
            self.options.get("port", "5432"),
            self.options.get("dbname") or unquote(database),
            self.options.get("options", ""),  # may name a schema
        )

    def __reduce__(self) -> NoReturn:
        # a pickle would give the password away
        raise TypeError("the URL of a database stays in its process")

    def __str__(self) -> str:
        return self.name

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, DatabaseUrl) and self._place == other._place

    def __hash__(self) -> int:
        return hash(self._place)
