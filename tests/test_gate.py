import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import f1_score

from pipeline.gate import Comparison, compare, out_of_fold
from pipeline.schema import Schema
from training import train_model

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


class Fits:
    """A fit that memorises, and keeps what it was given."""

    def __init__(self) -> None:
        self.frames: list[pd.DataFrame] = []

    def __call__(self, frame: pd.DataFrame, schema: Schema) -> Memory:
        assert schema == SCHEMA
        self.frames.append(frame)
        return Memory(frame)


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
    assert out_of_fold(Fits(), NEW, EVERYTHING, SCHEMA).tolist() == [0] * 15


def test_nor_does_it_know_them_by_another_row_of_theirs() -> None:
    twice = pd.concat([EVERYTHING, EVERYTHING.assign(left=1.0)], ignore_index=True)
    assert out_of_fold(Fits(), NEW, twice, SCHEMA).tolist() == [0] * 15


def test_each_client_is_left_out_of_one_fit_and_seen_by_the_others() -> None:
    fits = Fits()
    out_of_fold(fits, NEW, EVERYTHING, SCHEMA)
    left_out = [set(EVERYTHING["id"]) - set(frame["id"]) for frame in fits.frames]
    assert len(left_out) == 5
    assert sorted(client for fold in left_out for client in fold) == sorted(NEW["id"])


def test_all_rows_of_a_client_lie_in_one_fold() -> None:
    new = pd.concat([NEW, NEW], ignore_index=True)
    fits = Fits()
    predicted = out_of_fold(fits, new, pd.concat([EVERYTHING, NEW]), SCHEMA)
    assert predicted.tolist() == [0] * 30
    assert len(fits.frames) == 5


def test_predictions_come_in_the_order_of_the_rows() -> None:
    everything = clients([1, 2, 3, 4, 5] * 10, [1, 0, 1, 0, 1] * 10)
    everything["id"] = [f"c{i}" for i in range(50)]
    new = everything.iloc[[31, 4, 17, 8, 40, 22]]
    assert out_of_fold(Fits(), new, everything, SCHEMA).tolist() == [0, 1, 1, 0, 1, 1]


def test_of_no_rows_nothing_is_predicted() -> None:
    fits = Fits()
    assert out_of_fold(fits, NEW[:0], EVERYTHING, SCHEMA).tolist() == []
    assert fits.frames == []


@pytest.mark.parametrize("outcome", [0, 1])
def test_where_the_other_clients_have_one_outcome_it_is_predicted(outcome: int) -> None:
    everything = clients([1, 2, 3, 4], [1 - outcome, outcome, outcome, outcome])
    predicted = out_of_fold(train_model, everything[:1], everything, SCHEMA)
    assert predicted.tolist() == [outcome]


def test_where_no_other_client_is_labelled_somebody_stays() -> None:
    everything = clients([1, 2, 3], [1, None, None])
    assert out_of_fold(train_model, everything[:1], everything, SCHEMA).tolist() == [0]


def test_out_of_fold_a_real_model_has_not_seen_the_rows() -> None:
    # outcomes by chance: a model that has seen them does better than one that has not
    rng = np.random.default_rng(3)
    features = tuple(f"x{i}" for i in range(30))
    schema = Schema("id", "left", features)
    frame = pd.DataFrame(rng.normal(size=(60, 30)), columns=features)
    frame["id"] = [str(i) for i in range(60)]
    frame["left"] = rng.integers(0, 2, 60).astype(float)
    seen = f1_score(frame["left"], train_model(frame, schema).predict(frame[list(features)]))
    unseen = f1_score(frame["left"], out_of_fold(train_model, frame, frame, schema))
    assert seen > 0.85
    assert unseen < 0.65


def compared(champion: Memory, challenger: Memory, fits: Fits) -> Comparison:
    return compare(
        champion, challenger, fits, schema=SCHEMA, test=TEST, new=NEW, everything=EVERYTHING
    )


def test_a_challenger_that_only_remembers_stays_out() -> None:
    # on rows it has seen it would score 1.0: all 5 leavers of the new rows, both of the test rows
    knows = Memory(pd.concat([EVERYTHING, TEST]))
    says_one = Always(1)
    comparison = compared(says_one, knows, Fits())
    assert comparison == Comparison(
        rows=19, champion_f1=2 * 7 / (19 + 7), challenger_f1=2 * 2 / (2 + 7)
    )
    assert not comparison.deploy


def test_the_challenger_itself_is_asked_about_the_test_rows() -> None:
    comparison = compared(Always(0), Always(1), Fits())
    assert comparison == Comparison(rows=19, champion_f1=0.0, challenger_f1=2 * 2 / (4 + 7))
    assert comparison.deploy


def test_both_are_judged_on_the_same_rows_with_a_known_outcome() -> None:
    test = pd.concat([TEST, clients([104, 105], [None, None])])
    new = pd.concat([NEW, clients([200, 201, 202], [None, None, None])])
    with_unknown = compare(
        Always(1),
        Always(1),
        Fits(),
        schema=SCHEMA,
        test=test,
        new=new,
        everything=pd.concat([EVERYTHING, new[-3:]]),
    )
    assert with_unknown == compared(Always(1), Always(1), Fits())


def test_without_new_rows_the_test_rows_decide() -> None:
    comparison = compare(
        Always(0),
        Memory(TEST),
        Fits(),
        schema=SCHEMA,
        test=TEST,
        new=NEW[:0],
        everything=EVERYTHING,
    )
    assert comparison == Comparison(rows=4, champion_f1=0.0, challenger_f1=1.0)


def test_a_better_challenger_goes_live() -> None:
    comparison = Comparison(rows=1234, champion_f1=0.5, challenger_f1=0.75)
    assert comparison.deploy
    assert comparison.reason == (
        "the challenger's F1 0.7500 is at least as good as the deployed model's 0.5000"
        " on the same 1,234 rows"
    )


def test_a_challenger_just_as_good_goes_live() -> None:
    assert Comparison(rows=8, champion_f1=0.5, challenger_f1=0.5).deploy


def test_a_worse_challenger_stays_out() -> None:
    comparison = Comparison(rows=8, champion_f1=0.5, challenger_f1=0.4999)
    assert not comparison.deploy
    assert comparison.reason == (
        "the challenger's F1 0.4999 is worse than the deployed model's 0.5000 on the same 8 rows"
    )
