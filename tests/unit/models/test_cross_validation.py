from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from pipeline.core.schema import Schema
from pipeline.models.cross_validation import (
    FOLDS,
    MAX_CHECKED,
    Folds,
    Split,
    folds_of,
    split_of,
    subsample,
)

SCHEMA = Schema("client", "left", ("age",))


def table(rows: int = 300, clients: int = 100, leavers: int = 30) -> pd.DataFrame:
    names = np.arange(rows) * 7 % clients
    left = (names < leavers).astype(float)
    return pd.DataFrame({"client": names.astype(str), "age": np.arange(rows) * 1.0, "left": left})


def cut(frame: pd.DataFrame, seed: int = 0) -> Folds:
    folds = folds_of(frame, SCHEMA, seed)
    assert folds
    return folds


def test_no_client_is_in_two_folds() -> None:
    folds = cut(table())
    assert (pd.Series(folds.fold).groupby(folds.frame["client"].to_numpy()).nunique() == 1).all()
    assert len(np.unique(folds.fold)) == FOLDS


def test_those_who_left_are_spread_evenly() -> None:
    frame = table(rows=1000, clients=1000, leavers=50)
    folds = cut(frame)
    assert [int(folds.outcomes[folds.fold == i].sum()) for i in range(FOLDS)] == [10] * FOLDS


def test_a_fit_never_sees_a_client_it_is_asked_for() -> None:
    def score(known: np.ndarray, held_out: np.ndarray) -> np.ndarray:
        assert not set(folds.frame["client"][known]) & set(folds.frame["client"][held_out])
        return folds.frame["age"][held_out].to_numpy() * 2

    folds = cut(table())
    assert (folds.out_of_fold(score) == folds.frame["age"] * 2).all()


def test_the_seed_decides() -> None:
    first, again, other = cut(table()), cut(table()), cut(table(), seed=1)
    assert (first.fold == again.fold).all()
    assert (first.fold != other.fold).any()


@pytest.mark.parametrize("leavers", [2, 3, 98])
def test_few_clients_of_one_outcome_make_fewer_folds(leavers: int) -> None:
    folds = cut(table(leavers=leavers))
    assert len(np.unique(folds.fold)) == min(leavers, 100 - leavers)
    for number in np.unique(folds.fold):
        assert set(folds.outcomes[folds.fold != number]) == {0, 1}


@pytest.mark.parametrize("leavers", [0, 1, 99, 100])
def test_too_few_clients_of_one_outcome_make_none(leavers: int) -> None:
    assert folds_of(table(leavers=leavers), SCHEMA, 0) is None


# by time

DATED = replace(SCHEMA, date="day")
MONTHS = [f"2025-{month:02}-01" for month in range(1, 11)]


def months(*, days: list[str] = MONTHS, clients: int = 40) -> pd.DataFrame:
    """A row for each client and day, newest day first; a quarter leaves."""
    names = np.tile(np.arange(clients), len(days))
    return pd.DataFrame(
        {
            "client": names.astype(str),
            "day": np.repeat(days[::-1], clients),
            "age": np.arange(len(names)) * 1.0,
            "left": (names % 4 == 0).astype(float),
        }
    )


def split(frame: pd.DataFrame, schema: Schema = DATED) -> Split:
    found = split_of(frame, schema, 0)
    assert found
    return found


def test_with_dates_the_newest_are_scored_by_what_learned_from_older_rows_of_others() -> None:
    # some clients have only newer rows, some only older ones
    frame = pd.concat([months(), months().assign(client=lambda f: f["client"] + "x")[:80]])
    frame = frame[(frame["client"] > "2") | (frame["day"] < "2025-08-01")]
    found = split(frame)
    asked = 0

    def score(known: np.ndarray, held_out: np.ndarray) -> np.ndarray:
        nonlocal asked
        asked += 1
        learned, scored = found.learned.frame[known], found.scored.frame[held_out]
        assert learned["day"].max() < scored["day"].min() == found.since
        others = frame[(frame["day"] < found.since) & ~frame["client"].isin(scored["client"])]
        pd.testing.assert_frame_equal(learned, others)
        return scored["age"].to_numpy() * 2

    assert (found.scored.out_of_fold(score, found.learned) == found.scored.frame["age"] * 2).all()
    assert asked == FOLDS
    pd.testing.assert_frame_equal(found.scored.frame, frame[frame["day"] >= found.since])


@pytest.mark.parametrize(
    ("days", "since"),
    [(MONTHS, 7), (MONTHS[:2], 1), (MONTHS[:3], 2), ([*MONTHS[:6], *[MONTHS[6]] * 4], 6)],
)
def test_the_cut_is_between_two_dates_where_the_newer_rows_are_nearest_to_three_tenths(
    days: list[str], since: int
) -> None:
    assert split(months(days=days)).since == MONTHS[since]


@pytest.mark.parametrize(
    ("horizon", "until"),
    [
        (0, "2025-07-01"),
        (31, "2025-07-01"),
        (32, "2025-06-01"),
        (90, "2025-05-01"),
        (150, "2025-03-01"),
        (200, "2025-07-01"),  # one month would remain, fewer than are to be scored
    ],
)
def test_what_was_not_known_yet_is_not_learned_if_enough_remains(horizon: int, until: str) -> None:
    found = split(months(), replace(DATED, horizon_days=horizon))
    assert (found.learned.frame["day"].max(), found.since) == (until, "2025-08-01")


def test_rows_whose_horizon_has_not_ended_are_not_chosen_on() -> None:
    frame = months()
    latest = frame["day"] == MONTHS[-1]  # of which only those who left are known
    found = split(frame[~latest | (frame["left"] == 1)], replace(DATED, horizon_days=31))
    assert found.scored.frame["day"].max() == MONTHS[-2]


def one_outcome(newer: bool, outcome: float) -> pd.DataFrame:
    """All rows of the newer part, or of the older, have this outcome but those of four clients."""
    frame = months()
    part = (frame["day"] >= "2025-08-01") == newer
    others = frame["client"].isin(["1", "2", "3", "4"])
    return frame.assign(left=frame["left"].mask(part, (others != outcome).astype(float)))


FEW = {
    "one date": months(days=MONTHS[:1]),
    "few older rows": months(days=[MONTHS[0], MONTHS[1], MONTHS[1]]),
    "few who left among the newer": one_outcome(newer=True, outcome=0),
    "few who left among the older": one_outcome(newer=False, outcome=0),
    "few who stayed among the newer": one_outcome(newer=True, outcome=1),
    "few who stayed among the older": one_outcome(newer=False, outcome=1),
}


@pytest.mark.parametrize("frame", FEW.values(), ids=FEW)
def test_too_few_for_that_are_split_as_if_they_had_no_dates(frame: pd.DataFrame) -> None:
    found, undated = split(frame), split(frame, SCHEMA)
    assert (found.since, found.learned) == ("", found.scored)
    assert (found.scored.fold == undated.scored.fold).all()
    assert len(found.scored.frame) == len(frame)


def test_so_are_those_of_whom_a_fold_would_learn_one_outcome_only() -> None:
    frame = months(days=MONTHS[:3], clients=200)
    folds = split(frame).scored
    first = folds.frame["client"][(folds.fold == 0) & (folds.outcomes == 1)]
    assert len(first) >= FOLDS
    older_leavers = (frame["left"] == 1) & (frame["day"] < MONTHS[2])
    assert not split(frame[~older_leavers | frame["client"].isin(first)]).since


def test_a_sample_of_dated_rows_is_of_many_clients_and_all_dates() -> None:
    frame = months(clients=2 * MAX_CHECKED // 10, days=MONTHS)  # every second row: half of them
    drawn = subsample(frame, DATED)
    assert len(drawn) == MAX_CHECKED
    assert drawn["client"].nunique() > 0.99 * frame["client"].nunique()
    assert drawn["day"].value_counts().between(900, 1100).all()
    assert drawn["day"].is_monotonic_decreasing  # in the order of the rows
    pd.testing.assert_frame_equal(drawn, subsample(frame, DATED))
