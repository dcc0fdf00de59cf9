import numpy as np
import pandas as pd
import pytest

from pipeline.core.policy import Policy
from pipeline.core.schema import Schema
from pipeline.models.cross_validation import TrainingData
from pipeline.models.training import Learned, RowNumbers, choose_rows, newest_holding
from pipeline.reporting.model_card import EVIDENCE

SCHEMA = Schema("client", "left", ("a", "b"))


@pytest.mark.parametrize(("leavers", "begin"), [(1, 5), (2, 3), (3, 0), (4, 0)])
def test_the_newest_rows_hold_so_many_leavers(leavers: int, begin: int) -> None:
    assert newest_holding(np.array([1, 0, 0, 1, 0, 1, 0.0]), leavers) == begin


def chosen(rows: int, changed: int) -> Learned:
    """What is learned from where the first rows have their leavers by `a`, the others by `b`."""
    random = np.random.default_rng(2)
    frame = pd.DataFrame({name: random.normal(size=rows) for name in "ab"})
    cause = np.where(np.arange(rows) < changed, frame["a"], frame["b"])
    frame["left"] = (random.uniform(size=rows) < 1 / (1 + np.exp(1 - 2 * cause))).astype(float)
    frame["client"] = [f"c{i}" for i in range(rows)]
    numbers = np.arange(rows)[::-1]  # by age they are in another order than in the table

    def data_of(some: RowNumbers) -> TrainingData:
        part = frame.iloc[rows - 1 - np.sort(some)]
        return TrainingData(part, part, SCHEMA)

    return choose_rows(numbers, frame["left"].to_numpy(), data_of, Policy(seed=1))


def test_after_a_change_of_causes_the_newest_rows_are_learned_from() -> None:
    found = chosen(9_000, changed=5_000)
    assert found.recent
    assert 3_000 < len(found.rows) < 4_000  # of whom 1,200 left
    assert found.rows[-1] == 0
    assert found.evidence["log_loss_recent"] < found.evidence["log_loss_all"] - 0.05
    assert {*found.evidence} <= {*EVIDENCE}  # the model card has words for all of it


def test_without_one_all_rows_are() -> None:
    found = chosen(9_000, changed=0)
    assert (found.recent, len(found.rows)) == (False, 9_000)


@pytest.mark.parametrize("one_outcome", [range(1_000, 2_000), range(2_000, 2_300)])
def test_of_newest_rows_of_leavers_only_there_is_nothing_to_choose_rows(one_outcome: range) -> None:
    outcomes = np.zeros(2_300)
    outcomes[:1_000:2] = 1
    outcomes[one_outcome] = 1
    outcomes[2_000::2] = 1

    def data_of(_: RowNumbers) -> TrainingData:
        raise AssertionError("nothing is fitted")

    assert not choose_rows(np.arange(2_300), outcomes, data_of, Policy()).recent


def test_of_few_leavers_there_is_nothing_to_choose_rows() -> None:
    found = chosen(3_000, changed=1_500)
    assert (found.recent, len(found.rows), found.evidence) == (False, 3_000, {})
