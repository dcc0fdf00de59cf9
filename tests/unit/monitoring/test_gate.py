from collections.abc import Callable, Collection
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from pipeline.core.policy import Gate, Worth
from pipeline.core.schema import Schema
from pipeline.models.estimators import Model
from pipeline.monitoring import gate as gates
from pipeline.monitoring import metrics
from pipeline.monitoring.bootstrap import Difference, paired_difference
from pipeline.monitoring.gate import Comparison, FitWithout, compare
from pipeline.monitoring.metrics import predict_rows
from pipeline.monitoring.risk_differences import RiskDifference

# the client's number is a feature, so that a model can know its clients by heart
SCHEMA = Schema("id", "left", ("number",))


class Memory:
    """A model that knows the outcome of each client it has seen, and says 0 of all others."""

    feature_names_in_ = ("number",)

    def __init__(self, frame: pd.DataFrame) -> None:
        known = frame[frame["left"].notna()]
        self.leavers = set(known["number"][known["left"] == 1])

    def predict(self, frame: pd.DataFrame) -> np.ndarray:
        return frame["number"].isin(self.leavers).to_numpy().astype("int64")

    def predict_proba(self, frame: pd.DataFrame) -> np.ndarray:
        left = self.predict(frame)
        return np.column_stack([1 - left, left])


class Always(Memory):
    """A model that says the same of everybody."""

    def __init__(self, outcome: int) -> None:
        self.outcome = outcome

    def predict(self, frame: pd.DataFrame) -> np.ndarray:
        return np.full(len(frame), self.outcome)


def refits(fit: Callable[[pd.DataFrame], Model], everything: pd.DataFrame) -> FitWithout:
    """Fits on all rows but those of some clients."""

    def fit_without(clients: Collection[str]) -> Model | None:
        frame = everything[~everything["id"].isin(list(clients))]
        return None if frame.empty else fit(frame)

    return fit_without


class Fits:
    """A fit that memorises, and keeps what it was given."""

    def __init__(self) -> None:
        self.frames: list[pd.DataFrame] = []

    def __call__(self, frame: pd.DataFrame) -> Memory:
        self.frames.append(frame)
        return Memory(frame)


def out_of_fold(fit_without: FitWithout, rows: pd.DataFrame, schema: Schema) -> np.ndarray:
    found = predict_rows(Always(0), rows, schema)
    return gates.out_of_fold(fit_without, found, schema).predicted


def clients(numbers: list[int], left: list[float | None]) -> pd.DataFrame:
    ids = [f"c{number}" for number in numbers]
    return pd.DataFrame(
        {"id": ids, "number": np.array(numbers, float), "left": np.array(left, float)}
    )


EVERYTHING = clients(list(range(40)), [float(i % 3 == 0) for i in range(40)])
NEW = EVERYTHING[25:]
TEST = clients([100, 101, 102, 103], [1, 1, 0, 0])


def test_a_model_that_knows_its_clients_by_heart_knows_none_out_of_fold() -> None:
    assert Memory(EVERYTHING).predict(NEW).sum() == 5
    assert out_of_fold(refits(Fits(), EVERYTHING), NEW, SCHEMA).tolist() == [0] * 15


def test_each_client_is_left_out_of_one_fit_and_seen_by_the_others() -> None:
    fits = Fits()
    out_of_fold(refits(fits, EVERYTHING), NEW, SCHEMA)
    left_out = [set(EVERYTHING["id"]) - set(frame["id"]) for frame in fits.frames]
    assert len(left_out) == 5
    assert sorted(client for fold in left_out for client in fold) == sorted(NEW["id"])


def test_all_rows_of_a_client_lie_in_one_fold() -> None:
    new = pd.concat([NEW, NEW], ignore_index=True)
    fits = Fits()
    predicted = out_of_fold(refits(fits, pd.concat([EVERYTHING, NEW])), new, SCHEMA)
    assert predicted.tolist() == [0] * 30
    assert len(fits.frames) == 5


def test_predictions_come_in_the_order_of_the_rows() -> None:
    everything = clients([1, 2, 3, 4, 5] * 10, [1, 0, 1, 0, 1] * 10)
    everything["id"] = [f"c{i}" for i in range(50)]
    new = everything.iloc[[31, 4, 17, 8, 40, 22]]
    assert out_of_fold(refits(Fits(), everything), new, SCHEMA).tolist() == [
        0,
        1,
        1,
        0,
        1,
        1,
    ]


def test_of_no_rows_nothing_is_predicted() -> None:
    fits = Fits()
    assert out_of_fold(refits(fits, EVERYTHING), NEW[:0], SCHEMA).tolist() == []
    assert fits.frames == []


def test_where_there_is_nothing_to_learn_from_everybody_stays() -> None:
    only = clients([1], [1])
    assert out_of_fold(refits(Fits(), only), only, SCHEMA).tolist() == [0]


def compared(
    champion: Memory,
    challenger: Memory,
    gate: Gate = Gate.NOT_WORSE,
    everything: pd.DataFrame = EVERYTHING,
    test: pd.DataFrame = TEST,
    new: pd.DataFrame = NEW,
) -> Comparison:
    return compare(
        refits(Fits(), everything),
        champion=metrics.predict_rows(champion, test, SCHEMA).tested,
        challenger=metrics.predict_rows(challenger, test, SCHEMA).tested,
        new=predict_rows(champion, new, SCHEMA),
        gate=gate,
        seed=3,
        schema=SCHEMA,
    )


def difference(champion: list[int], challenger: list[int]) -> Difference:
    """The paired difference on the test rows and the new ones, by what both models said of them."""
    outcomes = pd.concat([TEST["left"], NEW["left"]]).to_numpy()
    ids = pd.concat([TEST["id"], NEW["id"]]).to_numpy(dtype=object)
    return paired_difference(outcomes, np.array(champion), np.array(challenger), ids, 3)


def test_a_challenger_that_only_remembers_stays_out() -> None:
    # on rows it has seen it would score 1.0: all 5 leavers of the new rows, both of the test rows
    knows = Memory(pd.concat([EVERYTHING, TEST]))
    says_one = Always(1)
    comparison = compared(says_one, knows)
    assert comparison == Comparison(
        gate=Gate.NOT_WORSE,
        rows=19,
        champion_f1=2 * 7 / (19 + 7),
        challenger_f1=2 * 2 / (2 + 7),
        difference=difference([1] * 19, [1, 1, 0, 0] + [0] * 15),
    )
    assert not comparison.deploy


def test_the_challenger_itself_is_asked_about_the_test_rows() -> None:
    comparison = compared(Always(0), Always(1))
    assert comparison == Comparison(
        gate=Gate.NOT_WORSE,
        rows=19,
        champion_f1=0.0,
        challenger_f1=2 * 2 / (4 + 7),
        difference=difference([0] * 19, [1] * 4 + [0] * 15),
    )
    assert comparison.deploy


def test_both_are_judged_on_the_same_rows_with_a_known_outcome() -> None:
    test = pd.concat([TEST, clients([104, 105], [None, None])])
    new = pd.concat([NEW, clients([200, 201, 202], [None, None, None])])
    everything = pd.concat([EVERYTHING, new[-3:]])
    with_unknown = compared(Always(1), Always(1), everything=everything, test=test, new=new)
    assert with_unknown == compared(Always(1), Always(1))


def test_without_new_rows_the_test_rows_decide() -> None:
    comparison = compared(Always(0), Memory(TEST), Gate.BETTER, new=NEW[:0])
    # four clients, two of whom left: in one of 16 resamples nobody has, and both models have 0
    assert comparison == Comparison(
        gate=Gate.BETTER,
        rows=4,
        champion_f1=0.0,
        challenger_f1=1.0,
        difference=Difference(1.0, 0.0, 1.0),
    )


# by the resampled difference: it is sure to be below zero, may be either, is sure to be above
WORSE = Comparison(Gate.ALWAYS, 1234, 0.75, 0.5, Difference(-0.25, -0.3125, -0.125))
WORSE_BY_CHANCE = Comparison(Gate.ALWAYS, 1234, 0.5, 0.4999, Difference(-0.0001, -0.125, 0.25))
SAME = Comparison(Gate.ALWAYS, 1234, 0.5, 0.5, Difference(0.0, 0.0, 0.0))
BETTER_BY_CHANCE = Comparison(Gate.ALWAYS, 1234, 0.5, 0.625, Difference(0.125, -0.0625, 0.25))
BETTER = Comparison(Gate.ALWAYS, 1234, 0.5, 0.75, Difference(0.25, 0.125, 0.3125))
ALL = (WORSE, WORSE_BY_CHANCE, SAME, BETTER_BY_CHANCE, BETTER)


@pytest.mark.parametrize(
    ("gate", "goes_live"),
    [
        (Gate.NOT_WORSE, [False, False, True, True, True]),
        (Gate.BETTER, [False, False, False, False, True]),
        (Gate.ALWAYS, [True, True, True, True, True]),
    ],
)
def test_a_gate_lets_pass_what_it_is_named_for(gate: Gate, goes_live: list[bool]) -> None:
    assert [replace(comparison, gate=gate).deploy for comparison in ALL] == goes_live


# --- by evidence ---


LOSS_LEVEL = Difference(0.0, -0.05, 0.05)


def evidence(auc: Difference, loss: Difference = LOSS_LEVEL) -> RiskDifference:
    return RiskDifference(0.75, 0.9, 0.75 - auc.value, 0.9 - loss.value, auc, loss)


UP, LEVEL, DOWN = (Difference(v, v - 0.02, v + 0.02) for v in (0.03, 0.001, -0.03))
LOSS_UP = Difference(0.06, 0.03, 0.09)
MUCH_WORSE = Difference(-0.1, -0.15, -0.05)


@pytest.mark.parametrize(
    ("found", "old", "on_test", "evident"),
    [
        (evidence(UP), False, None, True),
        (evidence(LEVEL), False, None, False),
        (evidence(LEVEL), True, None, True),  # no worse, and the live model is old
        (evidence(DOWN), True, None, False),
        (evidence(UP, LOSS_UP), True, None, False),  # it ranks better, its risks are worse
        (evidence(UP), False, MUCH_WORSE, False),  # twice the evidence is needed
        (evidence(Difference(0.05, 0.03, 0.07)), False, MUCH_WORSE, True),
        (evidence(LEVEL), True, MUCH_WORSE, False),
        (evidence(UP), False, Difference(-0.04, -0.06, -0.02), True),  # not much worse
        (evidence(UP), False, Difference(-0.1, -0.25, 0.05), True),  # that may be chance
        (None, True, None, False),
    ],
)
def test_the_evidence_of_the_newest_rows(
    found: RiskDifference | None, old: bool, on_test: Difference | None, evident: bool
) -> None:
    comparison = replace(SAME, by_risk=found, old=old, on_test=on_test)
    by_evidence = replace(comparison, gate=Gate.EVIDENCE)
    assert by_evidence.deploy == evident
    assert evident != by_evidence.reason.endswith(
        ("not better beyond chance", "cannot be compared")
    )
    assert not replace(comparison, gate=Gate.MANUAL).deploy


def test_with_profit_the_profit_decides() -> None:
    losing = replace(SAME, gate=Gate.EVIDENCE, by_risk=evidence(UP), profit=DOWN)
    assert not losing.deploy
    assert replace(losing, by_risk=evidence(DOWN), profit=UP).deploy


class Risks(Memory):
    """A model whose risk is the client's number, or that turned round."""

    def __init__(self, *, turned: bool) -> None:
        self.turned = turned

    def predict_proba(self, frame: pd.DataFrame) -> np.ndarray:
        risk = frame["number"].to_numpy()
        risk = 1 - risk if self.turned else risk
        return np.column_stack([1 - risk, risk])

    def predict(self, frame: pd.DataFrame) -> np.ndarray:
        return (self.predict_proba(frame)[:, 1] > 0.5).astype("int64")


def by_evidence(champion: Model, refit: Model, worth: Worth | None = None) -> Comparison:
    random = np.random.default_rng(1)
    risk = random.uniform(size=400)
    rows = clients([*range(400)], (random.uniform(size=400) < risk).astype(float).tolist())
    new = predict_rows(champion, rows.assign(number=risk), SCHEMA)
    return compare(
        lambda _: refit,
        champion=new.tested,
        challenger=predict_rows(refit, rows.assign(number=risk), SCHEMA).tested,
        new=new,
        gate=Gate.EVIDENCE,
        seed=3,
        schema=SCHEMA,
        worth=worth,
    )


def test_by_evidence_only_the_new_rows_are_compared_by_their_risks() -> None:
    found = by_evidence(Risks(turned=True), Risks(turned=False))
    assert (found.rows, found.deploy) == (400, True)
    assert found.by_risk is not None
    assert found.by_risk.auc == pytest.approx(1 - found.by_risk.auc_before)
    assert found.by_risk.by_auc.low > 0.3
    assert not by_evidence(Risks(turned=False), Risks(turned=True)).deploy
    assert found.reason.endswith(": better beyond chance")


def test_profit_is_of_those_whom_it_pays_to_contact() -> None:
    worth = Worth(client_value=100.0, contact_cost=10.0, save_rate=0.2)
    found = by_evidence(Risks(turned=True), Risks(turned=False), worth)
    assert found.profit is not None
    # 20 saved where a leaver is contacted, 10 spent: worth it from a risk of a half on
    assert found.profit.value == pytest.approx(5.0, abs=1.0)
    assert found.profit.low > 0


def test_without_a_labelled_row_nothing_can_be_compared() -> None:
    new = predict_rows(Risks(turned=False), clients([1], [float("nan")]).assign(number=0.5), SCHEMA)
    found = compare(
        lambda _: None,
        champion=new.tested,
        challenger=new.tested,
        new=new,
        gate=Gate.EVIDENCE,
        seed=3,
        schema=SCHEMA,
    )
    assert (found.rows, found.deploy) == (0, False)
    assert "cannot be compared" in found.reason
