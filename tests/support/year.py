"""A year of a made-up company, week by week: what it drops into the folder, and what is true.

It begins with a file of clients whose outcomes are known. Then each week there is a list of all
clients, outcomes unknown; in four weeks one each night. Outcomes come 4 to 8 weeks after their
row, in a file of their own or filled in where the row is. Some files are corrected later. Clients
come, change, leave (some come back) and vanish without a word.

What the columns are, and whether the lists are full ones, is the schema's choice.
"""

import io
import random
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cache

import pandas as pd
from truth import File, file_of, natural

from pipeline.core.schema import DEFAULT_SCHEMA, Schema

WEEKS = 52
NIGHTLY = range(20, 24)  # weeks with a list each night
HORIZON = 4  # weeks within which a client leaves whose outcome is 1
IN_PLACE = 3  # every so many-th list has its outcomes filled in place
CORRECTED = 5  # every so many weeks a list is corrected, and a file of outcomes
SCHEMAS = {
    "no more than clients": DEFAULT_SCHEMA,
    "full lists by date": replace(
        DEFAULT_SCHEMA,
        outcome="has_left",
        has_outcome=False,
        date="as_of",
        left_on="left_on",
        carry=("manager",),
        snapshots=True,
        horizon_days=7 * HORIZON,
    ),
    "full lists by time": replace(
        DEFAULT_SCHEMA,
        carry=("manager",),
        snapshots=True,
        horizon_days=7 * HORIZON,
        absent_left=True,
    ),
}

Cells = dict[str, str]  # column -> cell


@dataclass
class Client:
    """What is true of a client."""

    name: str
    employees: int
    activity: int
    here: bool = True
    vanished: bool = False
    left: list[tuple[int, str]] = field(default_factory=list)  # week and day

    def cells(self, day: str) -> Cells:
        """Itself and its features, on a day, and who looks after it."""
        return {
            "corporation": self.name,
            "as_of": day,
            "lastmonth_activity": str(self.activity),
            "lastyear_activity": "300",
            "number_of_employees": str(self.employees),
            "manager": "xyz"[self.activity % 3],
        }

    def became(self, week: int) -> Cells:
        """Whether it left within the horizon after a week, and when."""
        days = [day for then, day in self.left if week < then <= week + HORIZON]
        return {"exited": str(int(bool(days))), "left_on": days[0] if days else ""}


@dataclass(frozen=True)
class Week:
    """The files written in a week, new or in place of others, and each client then there.

    Their times of change are in hours.
    """

    number: int
    files: dict[str, File]
    newest: dict[str, str]  # client -> itself, the date and its features


def year(schema: Schema = DEFAULT_SCHEMA, seed: int = 0, clients: int = 300) -> Iterator[Week]:
    """The weeks of a year, the first with the clients of the time before."""
    company = _Company(schema, random.Random(seed), clients)
    for week in range(WEEKS):
        yield company.live(week)


def newest(folder: dict[str, File], schema: Schema) -> dict[str, str]:
    """Each client on the newest full list -> itself, the date and its features: by pandas."""
    files = sorted(folder.items(), key=lambda item: (item[1].mtime, natural(item[0])))
    tables = [_table(file) for _, file in files]
    rows = pd.concat([table for table in tables if schema.features[0] in table])
    days = rows[schema.date or "day"]
    last = rows[days == days.max()].drop_duplicates(schema.client, keep="last")
    columns = [column for column in schema.columns if column not in schema.tail]
    return dict(zip(last[schema.client], last[columns].agg(",".join, axis=1), strict=True))


@cache
def _table(file: File) -> pd.DataFrame:
    table = pd.read_csv(io.StringIO(file.text), dtype=str, keep_default_na=False)
    return table.assign(day=file.day)


class _Company:
    def __init__(self, schema: Schema, dice: random.Random, clients: int) -> None:
        self.schema = schema
        self.by_time = schema.snapshots and not schema.date  # a file written is a list
        left_out = [] if schema.has_outcome else [schema.outcome]
        self.columns = [column for column in schema.columns if column not in left_out]
        self.told = schema.left_on or schema.outcome
        self.dice = dice
        self.clients: list[Client] = []
        self.rows: dict[str, list[Cells]] = {}  # file -> its rows
        self.due: dict[int, list[tuple[Client, int, int]]] = {}  # week -> client, week, line
        self._join(clients)

    def live(self, week: int) -> Week:
        """What happens in a week; outcomes and corrections come before its lists."""
        start = week * 7 * 24
        written: dict[str, int] = {}  # file -> hour
        if week == 0:
            self.rows["history.csv"] = self._list(start)
            for row in self.rows["history.csv"] if self.schema.has_outcome else []:
                row["exited"] = self.dice.choice("0001")
            written["history.csv"] = start
        for name in self._report(week):
            written[name] = start + 1
        if week and week % CORRECTED == 0:
            lists = [] if self.by_time else [f"clients_{week - 2}.csv"]
            for name in (*lists, f"outcomes_{week - 1}.csv"):
                self._correct(self.rows.get(name, []))
                written[name] = start + 2
        for night in range(7):
            # without full lists all are copied at once, so that only their names are in order
            hour = start + 3 + night * 24 * self.schema.snapshots
            for client in self.clients:
                self._change(client, week, _day(hour))
            if week in NIGHTLY:
                self.rows[name := f"nightly_{week * 7 + night}.csv"] = self._list(hour)
                written[name] = hour
        self._join(self.dice.randint(0, 4))
        for line, client in enumerate(self._here()):
            due = week + self.dice.randint(4, 8)
            self.due.setdefault(due, []).append((client, week, line))
        self.rows[name := f"clients_{week}.csv"] = self._list(hour + 1)
        written[name] = hour + 1
        files = {
            name: _file(hour, self.rows[name])
            for name, hour in written.items()
            if name in self.rows
        }
        keys = [column for column in self.columns if column not in self.schema.tail]
        newest = {
            row["corporation"]: ",".join(row[column] for column in keys)
            for row in self.rows[f"clients_{week}.csv"]
        }
        return Week(week, files, newest)

    def _here(self) -> list[Client]:
        return [client for client in self.clients if client.here]

    def _list(self, hour: int) -> list[Cells]:
        unknown = {"exited": "", "left_on": ""}
        rows = [client.cells(_day(hour)) | unknown for client in self._here()]
        return [{column: row[column] for column in self.columns} for row in rows]

    def _join(self, count: int) -> None:
        for number in range(len(self.clients), len(self.clients) + count):
            size, activity = self.dice.choice([5, 50, 500]), self.dice.randint(1, 5)
            self.clients.append(Client(f"client{number:04d}", size, activity))

    def _change(self, client: Client, week: int, day: str) -> None:
        """What happens to a client in a night."""
        dice = self.dice.random()
        if not client.here:
            client.here = dice < 0.004 and not client.vanished
        elif dice < 0.0015:
            client.here = False
            client.left.append((week, day))
        elif dice < 0.002:
            client.here, client.vanished = False, True
        elif dice < 0.04:
            client.activity = self.dice.randint(1, 5)

    def _report(self, week: int) -> set[str]:
        """Put down outcomes of rows of some weeks ago; returns the files that changed."""
        changed = set()
        for client, then, line in self.due.pop(week, []):
            if client.vanished:
                continue
            row, told = self.rows[f"clients_{then}.csv"][line], client.became(then)[self.told]
            if then % IN_PLACE == 0 and not self.by_time:
                row[self.told] = told
                changed.add(f"clients_{then}.csv")
            else:
                alone = self.by_time or (self.schema.snapshots and week % 2)
                columns = self.schema.report_columns if alone else self.columns
                copy = {column: cell for column, cell in row.items() if column in columns}
                self.rows.setdefault(f"outcomes_{week}.csv", []).append(copy | {self.told: told})
                changed.add(f"outcomes_{week}.csv")
        return changed

    def _correct(self, rows: list[Cells]) -> None:
        """Three rows were wrong: what became of the client where it is said, else the activity."""
        for row in self.dice.sample(rows, min(3, len(rows))):
            if row[self.told]:
                row[self.told] = {"1": "0", "0": "1"}.get(row[self.told], "")
            elif "lastmonth_activity" in row:
                row["lastmonth_activity"] = str(self.dice.randint(1, 5))


def _day(hour: int) -> str:
    return File(hour, "").day


def _file(hour: int, rows: list[Cells]) -> File:
    return file_of(hour, [",".join(row.values()) for row in rows], ",".join(rows[0]))
