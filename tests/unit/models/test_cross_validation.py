import numpy as np
import pandas as pd
import pytest

from pipeline.core.schema import Schema
from pipeline.models.cross_validation import FOLDS, Folds, folds_of

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
