"""A made-up company's year, by weeks: what it sends, and what becomes of its clients.

Each week there is a list of 10,000 clients, 12,000 from week 30 on, whose features move slowly. Of
these some 2 to 4.5 % leave within four weeks, most in week 13 and fewest in week 39: the chance is
logistic in the features. Who leaves is replaced by a new client. Logins go with the season and
spend rises by 8 % a year, which makes nobody leave. In week 20 the causes change abruptly. The
2,000 who join in week 30 are small and from a region that was rare, and leave by the same causes.
In two weeks each, a column is all zero in the file, and one is in other units.

An outcome becomes known 4 to 8 weeks after its row, which is then sent again as it was, with it.
"""

from dataclasses import dataclass, replace
from datetime import date, timedelta

import numpy as np
import pandas as pd

from pipeline.core.schema import Schema

HORIZON = 4  # weeks within which a client leaves whose outcome is 1
DELAYS = (4, 8)  # weeks until an outcome is known: the least and the most
CLIENTS, JOINING = 10_000, 2_000
HISTORY, TEST_CLIENTS = 30_000, 4_000  # labelled rows of the time before, and of other clients
BEFORE = range(-16, -7)  # the weeks that they are of
BURN_IN = 104  # weeks lived before that, until those who stay are a mix that lasts
SHARE, SEASON = 0.033, 1 / 3  # who leave within four weeks: the mean, and the swing as a part of it
LOGINS, INFLATION = 2.5, 0.08  # the swing of the year in logins; the rise of spend in a year

# how much of a number, in standard deviations of all clients, moves from week to week
MOVES = {"logins": 0.6, "spend": 0.4, "tickets": 0.6, "seats": 0.15, "noise": 0.6}
MEMORY = 0.9  # of what moves, from one week to the next
NUMBERS = ("logins", "spend", "tickets", "tenure", "seats", "noise")
REGIONS = {"north": 0.45, "south": 0.35, "west": 0.17, "islands": 0.03}
PLANS = {"basic": 0.5, "plus": 0.3, "pro": 0.2}
MISSING = {"tickets": 0.02, "seats": 0.03, "plan": 0.01}
SCHEMA = Schema("client", "left", NUMBERS, ("region", "plan"))
DATED = replace(SCHEMA, date="as_of")

# what a standard deviation of a number, or a category, adds to the log-odds of leaving
CAUSES = {
    "logins": -0.95,
    "spend": -0.45,
    "tickets": 0.7,
    "tenure": -0.35,
    "plan": {"basic": 0.3, "pro": -0.3},
}
CAUSES_AFTER = {
    "logins": 0.7,
    "spend": -0.8,
    "seats": 0.65,
    "region": {"south": 0.3, "islands": -0.3},
}
Causes = dict[str, float | dict[str, float]]


@dataclass(frozen=True)
class Events:
    """In which weeks something happens.

    Zeros are of spend. Other units are of logins, in thousandths, where the seed is odd, else of
    seats, in twelfths.

    """

    change: int | None = 20
    joining: int | None = 30
    zeros: tuple[int, ...] = (38, 39)
    units: tuple[int, ...] = (44, 45)

    @property
    def broken(self) -> tuple[int, ...]:
        """The weeks of broken feeds."""
        return (*self.zeros, *self.units)


QUIET = Events(None, None, (), ())


@dataclass(frozen=True, eq=False)
class Week:
    """What a week's file holds, and what is true of the clients on its list.

    `sent` are its rows, the list and then the rows whose outcomes are known now, which `reported`
    holds alone: both with the columns of the schema. `listed` is the list with the true features,
    `leaves` whether each leaves within four weeks (1 or 0), `chance` how likely that was: both of
    the shape (clients,).
    """

    number: int
    sent: pd.DataFrame
    reported: pd.DataFrame
    listed: pd.DataFrame
    leaves: np.ndarray
    chance: np.ndarray


@dataclass(frozen=True, eq=False)
class Year:
    """Labelled rows of the time before, labelled rows of other clients, and the weeks."""

    schema: Schema
    events: Events
    history: pd.DataFrame
    test: pd.DataFrame
    weeks: tuple[Week, ...]


@dataclass(frozen=True, eq=False)
class _List:
    """The clients of a week: their numbers, true features, chances, and delays of outcomes."""

    ids: np.ndarray
    frame: pd.DataFrame
    chance: np.ndarray
    delays: np.ndarray


def year(
    seed: int,
    *,
    weeks: int = 52,
    events: Events = Events(),
    schema: Schema = SCHEMA,
    first_day: date = date(2026, 1, 5),
) -> Year:
    """Simulate it; week 0 is that of the first day. The same seed gives the same year."""
    random = np.random.default_rng(seed)
    company = _Company(random, events)
    lists: dict[int, _List] = {}
    for week in range(BEFORE[0] - BURN_IN, weeks + HORIZON):
        if week == 0:
            company.keep(np.arange(TEST_CLIENTS, CLIENTS + TEST_CLIENTS))
        if week == events.joining:
            company.join(JOINING)
        chance = company.chances(week)
        if week >= BEFORE[0]:
            lists[week] = company.listed(week, chance)
        company.live(week, chance)
    units = ("logins", 1_000) if seed % 2 else ("seats", 12)

    def labelled(week: int, broken: bool = True) -> pd.DataFrame:
        """The list as it is sent, with the outcomes."""
        one = lists[week]
        frame = one.frame.assign(left=company.left_within(one.ids, week))
        if broken and week in events.zeros:
            frame["spend"] = 0.0
        if broken and week in events.units:
            frame[units[0]] = (frame[units[0]] * units[1]).round(2)
        if schema.date:
            frame.insert(1, schema.date, (first_day + timedelta(weeks=week)).isoformat())
        return frame[list(schema.columns)]

    def lived(week: int) -> Week:
        one, whole = lists[week], labelled(week, broken=False)
        dues = range(max(0, week - DELAYS[1]), week - DELAYS[0] + 1)
        known = [labelled(due)[lists[due].delays == week - due] for due in dues]
        reported = pd.concat([labelled(week)[:0], *known], ignore_index=True)
        unknown = labelled(week).assign(left=np.nan)
        return Week(
            week,
            pd.concat([unknown, reported], ignore_index=True),
            reported,
            whole.assign(left=np.nan),
            whole["left"].to_numpy("int64"),
            one.chance,
        )

    earlier = [labelled(week) for week in BEFORE]
    of_slot = random.integers(len(BEFORE), size=TEST_CLIENTS)
    test = [frame[:TEST_CLIENTS][of_slot == i] for i, frame in enumerate(earlier)]
    rest = pd.concat([frame[TEST_CLIENTS:] for frame in earlier], ignore_index=True)
    drawn = np.sort(random.choice(len(rest), HISTORY, replace=False))
    return Year(
        schema,
        events,
        rest.iloc[drawn].reset_index(drop=True),
        pd.concat(test, ignore_index=True),
        tuple(map(lived, range(weeks))),
    )


def csv_text(frame: pd.DataFrame) -> str:
    """Rows as a client file has them."""
    known = frame["left"].map({0.0: "0", 1.0: "1"}).fillna("")
    return frame.assign(left=known).to_csv(index=False, float_format="%.10g", lineterminator="\n")


class _Company:
    """The clients of now, a place each: who leaves it is followed by a new client.

    Before week 0 the first 4,000 places are of clients who are never in the input.
    """

    def __init__(self, random: np.random.Generator, events: Events) -> None:
        self._random, self._events = random, events
        places = CLIENTS + TEST_CLIENTS
        self._left_in = np.zeros(0, "int64")  # the week in which each client left
        self._small = np.zeros(places, bool)  # those of the week of joining, and who follows them
        self._ids, self._levels, self._moving, self._tenure, self._words = self._new(self._small)
        self._tenure = random.exponential(24, places)

    def _new(self, small: np.ndarray) -> tuple[np.ndarray, ...]:
        random, count = self._random, len(small)
        ids = len(self._left_in) + np.arange(count)
        self._left_in = np.append(self._left_in, np.full(count, 10**6))
        moves = np.array(list(MOVES.values()))
        levels = random.normal(size=(count, len(MOVES))) * np.sqrt(1 - moves**2)
        levels[small, list(MOVES).index("seats")] -= 1.2
        words = [random.choice(len(of), count, p=list(of.values())) for of in (REGIONS, PLANS)]
        moved = small & (random.random(count) < 0.7)
        words[0][moved] = list(REGIONS).index("islands")
        moving = random.normal(size=levels.shape) * moves
        return ids, levels, moving, np.zeros(count), np.stack(words, axis=1)

    @property
    def _parts(self) -> tuple[str, ...]:
        return ("_ids", "_levels", "_moving", "_tenure", "_words")

    def keep(self, places: np.ndarray) -> None:
        """Forget all others."""
        for name in (*self._parts, "_small"):
            setattr(self, name, getattr(self, name)[places])

    def join(self, count: int) -> None:
        """So many small clients more."""
        small = np.ones(count, bool)
        for name, values in zip(self._parts, self._new(small), strict=True):
            setattr(self, name, np.concatenate([getattr(self, name), values]))
        self._tenure[-count:] = self._random.exponential(12, count)
        self._small = np.append(self._small, small)

    def chances(self, week: int) -> np.ndarray:
        """How likely each is to leave within four weeks: shape (clients,).

        The intercept is such that of those who are not small as many leave as the season says.
        """
        changed = self._events.change is not None and week >= self._events.change
        causes: Causes = CAUSES_AFTER if changed else CAUSES
        values = dict(zip(MOVES, (self._levels + self._moving).T, strict=True))
        values["tenure"] = (np.log1p(self._tenure) - 2.5) / 1.1
        score = np.zeros(len(self._ids))
        for name, effect in causes.items():
            if isinstance(effect, dict):
                at, known = (0, REGIONS) if name == "region" else (1, PLANS)
                score += np.array([effect.get(word, 0.0) for word in known])[self._words[:, at]]
            else:
                score += effect * values[name]
        share = SHARE * (1 + SEASON * np.sin(2 * np.pi * week / 52))
        low, high = -20.0, 20.0
        for _ in range(40):
            middle = (low + high) / 2
            if _logistic(middle + score[~self._small]).mean() > share:
                high = middle
            else:
                low = middle
        return _logistic(low + score)

    def live(self, week: int, chance: np.ndarray) -> None:
        """Let a week pass: some leave, new ones take their places, and all move."""
        random = self._random
        leave = random.random(len(chance)) < 1 - (1 - chance) ** (1 / HORIZON)
        self._left_in[self._ids[leave]] = week + 1
        spread = np.array(list(MOVES.values())) * np.sqrt(1 - MEMORY**2)
        self._moving = MEMORY * self._moving + random.normal(size=self._moving.shape) * spread
        self._tenure = self._tenure + 12 / 52
        for name, values in zip(self._parts, self._new(self._small[leave]), strict=True):
            getattr(self, name)[leave] = values

    def left_within(self, ids: np.ndarray, week: int) -> np.ndarray:
        """Whether clients on a week's list left within four weeks: 1.0 or 0.0."""
        return (self._left_in[ids] <= week + HORIZON).astype("float64")

    def listed(self, week: int, chance: np.ndarray) -> _List:
        """The list of now, with what is missing in it.

        Logins follow a season and prices rise, of which nobody leaves.
        """
        random, count = self._random, len(self._ids)
        z = dict(zip(MOVES, (self._levels + self._moving).T, strict=True))
        region, plan = self._words.T
        season, dearer = LOGINS * np.cos(2 * np.pi * week / 52), INFLATION * week / 52
        columns: dict[str, object] = {
            "client": np.char.mod("K%06d", self._ids),
            "logins": (20 + season + 7 * z["logins"]).round().clip(0),
            "spend": np.exp(5 + dearer + 0.6 * z["spend"]).round(2),
            "tickets": (4 + 2.5 * z["tickets"]).round().clip(0),
            "tenure": self._tenure.round(),
            "seats": np.exp(2.5 + 0.8 * z["seats"]).round().clip(1),
            "noise": z["noise"].round(3),
            "region": np.array(list(REGIONS))[region],
            "plan": np.array(list(PLANS))[plan],
        }
        frame = pd.DataFrame(columns)
        for name, share in MISSING.items():
            frame.loc[random.random(count) < share, name] = "" if name == "plan" else np.nan
        frame = frame.astype(dict.fromkeys(("client", "region", "plan"), "str"))
        delays = random.integers(DELAYS[0], DELAYS[1] + 1, count)
        return _List(self._ids.copy(), frame, chance, delays)


def _logistic(scores: np.ndarray) -> np.ndarray:
    risks: np.ndarray = 1 / (1 + np.exp(-scores))
    return risks
