"""A year of a made-up company, week by week: what it drops into the folder, and what is true.

It begins with a file of clients whose outcomes are known. Then each week there is a list of all
clients, outcomes unknown; in four weeks one each night. Outcomes come 4 to 8 weeks after their
row, in a file of their own or filled in where the row is. Some files are corrected later. Clients
come, change, leave (some come back) and vanish without a word.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field

from truth import File, file_of

WEEKS = 52
NIGHTLY = range(20, 24)  # weeks with a list each night
HORIZON = 4  # weeks within which a client leaves whose outcome is 1
IN_PLACE = 3  # every so many-th list has its outcomes filled in place
CORRECTED = 5  # every so many weeks a list is corrected, and a file of outcomes


@dataclass
class Client:
    """What is true of a client."""

    name: str
    employees: int
    activity: int
    here: bool = True
    vanished: bool = False
    left_in: list[int] = field(default_factory=list)  # weeks

    @property
    def key(self) -> str:
        """The client and its features."""
        return f"{self.name},{self.activity},300,{self.employees}"

    def outcome(self, week: int) -> str:
        """Whether it left within the horizon after a week."""
        return str(int(any(week < left <= week + HORIZON for left in self.left_in)))


@dataclass(frozen=True)
class Week:
    """The files written in a week, new or in place of others, and each client then there.

    Their times of change are in hours.
    """

    number: int
    files: dict[str, File]
    newest: dict[str, str]  # client -> itself and its features


def year(seed: int = 0, clients: int = 300) -> Iterator[Week]:
    """The weeks of a year, the first with the clients of the time before."""
    company = _Company(random.Random(seed), clients)
    for week in range(WEEKS):
        yield company.live(week)


class _Company:
    def __init__(self, dice: random.Random, clients: int) -> None:
        self.dice = dice
        self.clients: list[Client] = []
        self.rows: dict[str, list[list[str]]] = {}  # file -> client and features, outcome
        self.due: dict[int, list[tuple[Client, int, int]]] = {}  # week -> client, week, line
        self._join(clients)

    def live(self, week: int) -> Week:
        """What happens in a week; outcomes and corrections come before its lists."""
        written: dict[str, int] = {}  # file -> hour of the week
        if week == 0:
            self.rows["history.csv"] = [[c.key, self.dice.choice("0001")] for c in self.clients]
            written["history.csv"] = 0
        for name in self._report(week):
            written[name] = 1
        if week and week % CORRECTED == 0:
            for name in (f"clients_{week - 2}.csv", f"outcomes_{week - 1}.csv"):
                self._correct(self.rows.get(name, []))
                written[name] = 2
        for night in range(7):
            for client in self.clients:
                self._change(client, week)
            if week in NIGHTLY:  # all copied at once, so that only their names are in order
                self.rows[name := f"nightly_{week * 7 + night}.csv"] = self._list()
                written[name] = 3
        self._join(self.dice.randint(0, 4))
        for line, client in enumerate(self._here()):
            due = week + self.dice.randint(4, 8)
            self.due.setdefault(due, []).append((client, week, line))
        self.rows[name := f"clients_{week}.csv"] = self._list()
        written[name] = 4
        files = {
            name: file_of(week * 7 * 24 + hour, [",".join(row) for row in self.rows[name]])
            for name, hour in written.items()
            if name in self.rows
        }
        return Week(week, files, {client.name: client.key for client in self._here()})

    def _here(self) -> list[Client]:
        return [client for client in self.clients if client.here]

    def _list(self) -> list[list[str]]:
        return [[client.key, ""] for client in self._here()]

    def _join(self, count: int) -> None:
        for number in range(len(self.clients), len(self.clients) + count):
            size, activity = self.dice.choice([5, 50, 500]), self.dice.randint(1, 5)
            self.clients.append(Client(f"client{number:04d}", size, activity))

    def _change(self, client: Client, week: int) -> None:
        """What happens to a client in a night."""
        dice = self.dice.random()
        if not client.here:
            client.here = dice < 0.004 and not client.vanished
        elif dice < 0.0015:
            client.here = False
            client.left_in.append(week)
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
            row, outcome = self.rows[f"clients_{then}.csv"][line], client.outcome(then)
            if then % IN_PLACE == 0:
                row[1] = outcome
                changed.add(f"clients_{then}.csv")
            else:
                self.rows.setdefault(f"outcomes_{week}.csv", []).append([row[0], outcome])
                changed.add(f"outcomes_{week}.csv")
        return changed

    def _correct(self, rows: list[list[str]]) -> None:
        """Three rows were wrong: the outcome where there is one, else the activity."""
        for row in self.dice.sample(rows, min(3, len(rows))):
            client, _, *rest = row[0].split(",")
            if row[1]:
                row[1] = "0" if row[1] == "1" else "1"
            else:
                row[0] = ",".join([client, str(self.dice.randint(1, 5)), *rest])
