"""Does a file look like a broken feed? Its rows beside what the same clients were before.

What nobody can tell apart from a change of the world is not held for ever: `accepts` says when a
file that looks like the ones held back before it is to be accepted with them.

The rules are in docs/model-and-decisions.md. A column is compared for clients that were there
before, for new clients may differ from others in any way; only where files bring each client once
are they compared with all clients before them, by stricter bounds.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from pipeline.core.schema import Schema
from pipeline.monitoring import sentences
from pipeline.monitoring.bootstrap import score_intervals
from pipeline.monitoring.metrics import Tested

MIN_CLIENTS = 50  # that are compared
MIN_SHARE_KNOWN = 1 / 3  # of a file's clients, for the others to be taken for like them
MIN_SHARE_ONCE = 2 / 3  # of all clients with one row, for files to bring each client once
MIN_CLIENTS_ONCE = 200  # where these are compared with others
MAX_COMPARED = 20_000  # clients, evenly spaced: of more, nothing else is seen
CONSTANT, NOT_CONSTANT = 0.99, 0.9  # shares of the most frequent value, now and before
NOT_CONSTANT_ONCE = 0.5  # where other clients are compared
EMPTY, NOT_EMPTY = 0.95, 0.5  # shares of missing values
MAX_CHANCE = 1e-6  # of so many rows with one value, by its share before
MIN_FACTOR = 1.5  # by which values change evenly: half of them within a tenth
EVENLY, MIN_SHARE_EVEN = np.log(1.1), 0.5
MIN_FACTOR_ANY = 8.0  # by which they change unevenly, nine of ten of them in one direction
MIN_SHARE_DIRECTION = 0.9
MIN_SHARE_RATIOS = 0.2  # of the clients with a value before that is not 0, with one now
MIN_SPREAD_SHIFT = 5.0  # an offset, in ranges of the values before
MAX_RISE = 2.0  # of the mean risk, and of the share to be contacted
MIN_RISE_RISK, MIN_RISE_CONTACT = 0.02, 0.05
MIN_Z = 5.0  # of the mean of what the clients' risks rise by
MIN_OF_OUTCOME = 20  # rows, of either
MIN_ASYMMETRY = 0.2  # between the usual shares of both: where they are alike, they hardly tell
ALIKE_FACTOR = 1.25
MORE_BATCHES, MIN_DAYS = 2, 14

Floats = NDArray[np.float64]


class Sign(StrEnum):
    """By what a feed looks broken."""

    CONSTANT = "constant"
    EMPTY = "empty"
    FACTOR = "factor"
    SHIFT = "shift"
    RISK = "risk"
    OUTCOMES = "outcomes"


class Compared(StrEnum):
    """What there was enough of to be compared."""

    CLIENTS = "clients"
    OUTCOMES = "outcomes"


@dataclass(frozen=True)
class Finding:
    """One sign of a broken feed: in which column, the value or factor, and what was seen."""

    sign: Sign
    column: str
    value: float | str | None
    reason: str


@dataclass(frozen=True)
class Feed:
    """What the check of a content found; `day` is that of its data, from 1970-01-01."""

    day: int
    compared: tuple[Compared, ...] = ()
    findings: tuple[Finding, ...] = ()

    @property
    def reason(self) -> str:
        """What was seen, in a sentence."""
        return "; ".join(found.reason for found in self.findings)

    @property
    def _signs(self) -> dict[tuple[Sign, str], float | str | None]:
        """The signs by which it is told whether another one looks like it.

        Risks follow from columns.
        """
        signs = {(found.sign, found.column): found.value for found in self.findings}
        columns = {key: value for key, value in signs.items() if key[0] != Sign.RISK}
        return columns or signs

    def looks_like(self, other: "Feed") -> bool:
        """Whether it is broken in the same way."""
        mine, others = self._signs, other._signs
        return mine.keys() == others.keys() and all(
            _alike(value, others[key]) for key, value in mine.items()
        )

    def contradicts(self, other: "Feed") -> bool:
        """Whether it could have looked like a broken one, of which it has no sign."""
        if self._signs.keys() & other._signs.keys():
            return False
        by_outcomes = {Sign.OUTCOMES} == {found.sign for found in other.findings}
        return (Compared.OUTCOMES if by_outcomes else Compared.CLIENTS) in self.compared


def _alike(one: float | str | None, other: float | str | None) -> bool:
    if isinstance(one, float) and isinstance(other, float) and one * other > 0:
        return 1 / ALIKE_FACTOR <= one / other <= ALIKE_FACTOR
    return one == other


@dataclass(frozen=True)
class Risks:
    """The live model's risks of clients, and whom it predicts to leave: each of shape (clients,)"""

    risk: Floats
    contact: Floats


def accepted_with(now: Feed, former: Sequence[tuple[Feed, bool]]) -> list[int]:
    """The places of those held back that are accepted with a file that looks broken; empty: none.

    `former` has what was found in the contents before it, oldest first, and whether each is held.
    One that could have looked like it and does not ends the row.
    """
    days, places = {now.day}, []
    for at, (feed, held) in reversed([*enumerate(former)]):
        if held and feed.looks_like(now):
            days.add(feed.day)
            places.append(at)
        elif feed.contradicts(now):
            break
    same_for_long = len(days) > MORE_BATCHES and now.day - min(days) >= MIN_DAYS
    return places[::-1] if same_for_long else []


def can_compare(before: pd.DataFrame, now: pd.DataFrame, schema: Schema) -> bool:
    """Whether enough clients of a file, one a row, were there before."""
    known = now[schema.client].isin(before[schema.client]).sum()
    return bool(known >= max(MIN_CLIENTS, MIN_SHARE_KNOWN * len(now)))


def once(clients: "pd.Series[str]") -> bool:
    """Whether files bring each client once, by the client of each row there is."""
    again = clients.duplicated(keep=False)
    count = clients.nunique()
    return bool((~again).sum() >= MIN_SHARE_ONCE * count)


def paired(
    before: pd.DataFrame, now: pd.DataFrame, schema: Schema
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The rows of clients that both frames, of one row a client, have; in the same order."""
    at = pd.Index(before[schema.client]).get_indexer(pd.Index(now[schema.client]))
    found = np.flatnonzero(at >= 0)
    return thinned(before.iloc[at[found]]), thinned(now.iloc[found])


def thinned(frame: pd.DataFrame) -> pd.DataFrame:
    """No more rows than are compared, evenly spaced."""
    return frame[:: max(1, -(-len(frame) // MAX_COMPARED))]


def check_columns(
    before: pd.DataFrame, now: pd.DataFrame, schema: Schema, *, same_clients: bool
) -> Iterator[Finding]:
    """The columns of a file that look broken, beside the rows before it.

    With `same_clients` the rows of both are of the same clients, as `paired` has them; else of
    others, of which only empty columns and constant numbers are told.
    """
    allowed = NOT_CONSTANT if same_clients else NOT_CONSTANT_ONCE
    for column in schema.features:
        number = column in schema.numeric
        old, new = before[column], now[column]
        missing = [(v.isna() if number else v == "").to_numpy() for v in (old, new)]
        if missing[1].mean() >= EMPTY and missing[0].mean() <= NOT_EMPTY:
            yield Finding(
                *(Sign.EMPTY, column, None),
                sentences.constant(column, "missing", missing[1].mean(), missing[0].mean()),
            )
        elif found := (number or same_clients) and _constant(column, old, new, allowed):
            yield found
        elif number and same_clients:  # a new market may have other numbers altogether
            yield from _units(column, old.to_numpy(), new.to_numpy())


def _constant(
    column: str, before: "pd.Series[float]", now: "pd.Series[float]", allowed: float
) -> Finding | None:
    """One value in nearly all rows, where no value was in nearly all before."""
    shares = now.value_counts(normalize=True, dropna=True)
    if not len(shares):
        return None
    value, share = shares.index[0], shares.iloc[0] * now.notna().mean()
    most = before.value_counts(normalize=True, dropna=False).iloc[0]
    was = float((before == value).mean())
    chance = stats.binom.sf(round(share * len(now)) - 1, len(now), max(was, 1 / (len(before) + 1)))
    if share < CONSTANT or most > allowed or chance > MAX_CHANCE:
        return None
    known = float(value) if column_is_number(now) else str(value)
    return Finding(Sign.CONSTANT, column, known, sentences.constant(column, known, share, was))


def column_is_number(values: "pd.Series[float]") -> bool:
    """Whether a column of a frame holds numbers."""
    return values.dtype == np.float64


def _units(column: str, before: Floats, now: Floats) -> Iterator[Finding]:
    """A like factor, or a like offset, between the values of the same clients."""
    there = ~(np.isnan(before) | np.isnan(now))
    before, now = before[there], now[there]
    some = before != 0
    ratios = now[some] / before[some]
    logs = np.log(ratios[ratios > 0])
    if len(before) < MIN_CLIENTS or len(np.unique(before)) < 3:
        return
    if len(logs) >= max(MIN_CLIENTS, MIN_SHARE_RATIOS * some.sum()):
        middle = float(np.median(logs))
        even = float((np.abs(logs - middle) <= EVENLY).mean())
        onward = float((np.sign(middle) * logs > np.log(MIN_FACTOR)).mean())
        of_all = len(logs) / some.sum()
        if abs(middle) >= np.log(MIN_FACTOR) and even * of_all >= MIN_SHARE_EVEN:
            by_factor = not _even_offset(before[some][ratios > 0], now[some][ratios > 0])
        else:
            far = abs(middle) >= np.log(MIN_FACTOR_ANY)
            by_factor = far and onward >= MIN_SHARE_DIRECTION
        if by_factor:
            factor = float(np.exp(middle))
            reason = sentences.factor(column, factor, len(logs))
            yield Finding(Sign.FACTOR, column, factor, reason)
            return
    offset = float(np.median(now - before))
    low, high = np.quantile(before, [0.05, 0.95])
    even = float((np.abs(now - before - offset) <= (high - low)).mean())
    if high > low and abs(offset) >= MIN_SPREAD_SHIFT * (high - low) and even >= CONSTANT:
        yield Finding(Sign.SHIFT, column, offset, sentences.shift(column, offset, len(before)))


def _even_offset(before: Floats, now: Floats) -> bool:
    """Whether values of the same clients differ by an offset as evenly as by a factor, or more.

    So do counters: of clients that came on the same day all are twice what they were after the
    first week.
    """
    offsets, ratios = now - before, now / before
    spreads = [
        np.median(np.abs(values - np.median(values))) / abs(np.median(values))
        for values in (offsets, ratios)
    ]
    return bool(spreads[0] <= spreads[1])


def check_risks(before: Risks, now: Risks) -> Iterator[Finding]:
    """A jump of the mean risk, or of the share to be contacted, of the same clients in order.

    They are all that were there before, and not only those of the file: what a few clients do
    is no sign of a broken feed.
    """
    rises = [
        (now.risk, before.risk, MIN_RISE_RISK, "mean risk"),
        (now.contact, before.contact, MIN_RISE_CONTACT, "contact"),
    ]
    for after, earlier, least, what in rises:
        mean, was = float(after.mean()), float(earlier.mean())
        rise = after - earlier
        z = rise.mean() / max(float(rise.std()) / np.sqrt(len(rise)), 1e-12)
        if mean > MAX_RISE * was and mean - was >= least and z >= MIN_Z:
            yield Finding(Sign.RISK, "", None, sentences.jump(what, mean, was, len(rise)))
            return


def few_outcomes(tested: Tested) -> bool:
    """Whether there are too few labelled rows of either outcome to tell whether it is inverted."""
    left = int(tested.outcomes.sum())
    return min(left, len(tested.outcomes) - left) < MIN_OF_OUTCOME


def check_outcomes(
    tested: Tested, usual_auc: float | None, usual_left: Callable[[], float], seed: int
) -> Iterator[Finding]:
    """Outcomes that fit the model, and the usual share of leavers, better the other way round.

    `usual_auc` is that on the test data; the share is only asked for where it counts.
    """
    if few_outcomes(tested) or (usual_auc or 0) <= 0.5:
        return
    auc, share = tested.scores.roc_auc or 0, float(tested.outcomes.mean())
    if auc >= 0.5:
        return
    usual = usual_left()
    if np.isnan(usual):  # nobody's outcome was known
        return
    if abs(share - (1 - usual)) > abs(share - usual) - 1e-9:
        return
    interval = score_intervals(tested, tested.risk, seed)["roc_auc"]
    # other causes, too, may turn a share near a half, but not the whole ranking
    alike = abs(usual - (1 - usual)) < MIN_ASYMMETRY
    as_turned = not alike or (interval and interval.low <= 1 - (usual_auc or 0))
    if interval and interval.high < 0.5 and as_turned:
        numbers = len(tested.outcomes), share, usual, auc, usual_auc or 0, interval.high
        yield Finding(Sign.OUTCOMES, "", None, sentences.inverted(*numbers))
