from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy
from scipy import stats

from pipeline.core.policy import Policy
from pipeline.core.schema import Schema
from pipeline.data.reference import Numbers, Reference, reference_of
from pipeline.models.cross_validation import TrainingData
from pipeline.models.estimators import risk_of
from pipeline.models.training import fit
from pipeline.monitoring.decisions import FeatureDrift
from pipeline.monitoring.input_drift import binned, compare_input, psi, psi_limit, quantile_edges

SCHEMA = Schema("id", "left", ("age",), ("place",))
PLACES = ("north", "south", "west", "east")
SHARES = (0.4, 0.3, 0.2, 0.1)


def clients(rows: int, seed: int, shift: float = 0.0) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    places = pd.Series(random.choice(PLACES, rows, p=SHARES), dtype="str")
    return pd.DataFrame({"age": random.normal(shift, 1, rows), "place": places})


def risk(rows: int, seed: int) -> np.ndarray:
    return np.random.default_rng([seed, 1]).beta(1, 3, rows)


REFERENCE = reference_of(clients(2_000, 1), risk(2_000, 1), SCHEMA, seed=1)


def compared(
    frame: pd.DataFrame, reference: Reference = REFERENCE, of_risk: np.ndarray | None = None
) -> dict[str, FeatureDrift]:
    """What is found, by kind of column: there is one of each."""
    of_risk = risk(len(frame), 2) if of_risk is None else of_risk
    return {found.kind: found for found in compare_input(reference, frame, of_risk, SCHEMA)}


def with_places(places: list[str], seed: int = 2) -> pd.DataFrame:
    return clients(len(places), seed).assign(place=pd.Series(places, dtype="str"))


def test_there_is_one_comparison_for_each_feature_and_one_for_the_risk() -> None:
    schema = Schema("id", "left", ("b", "risk"), ("a",))
    frame = pd.DataFrame({"a": ["x"] * 30, "b": np.arange(30.0), "risk": np.arange(30.0)})
    reference = reference_of(frame, frame["b"].to_numpy() / 30, schema, seed=1)
    found = compare_input(reference, frame, frame["b"].to_numpy() / 30, schema)
    assert [(one.feature, one.kind) for one in found] == [
        ("b", "number"),
        ("risk", "number"),
        ("a", "category"),
        ("risk", "risk"),
    ]


def test_rows_like_those_before_are_no_drift() -> None:
    found = compared(clients(500, 2))
    assert [one.verdict for one in found.values()] == ["no drift"] * 3
    age = found["number"]
    assert age.psi is not None
    assert age.reason == f"PSI {age.psi:.3f}, not above its limit 0.100"
    assert age.psi_limit == 0.1


def test_a_shifted_number_drifts_and_the_others_do_not() -> None:
    found = compared(clients(500, 2, shift=0.7))
    age = found["number"]
    assert age.psi is not None
    assert (age.verdict, age.reason) == ("drift", f"PSI {age.psi:.3f} above its limit 0.100")
    assert {found[kind].verdict for kind in ("category", "risk")} == {"no drift"}


def test_a_risk_that_rises_is_drift_of_the_risk_alone() -> None:
    found = compared(clients(500, 2), of_risk=risk(500, 2) ** 0.5)
    assert {kind: one.verdict for kind, one in found.items()} == {
        "number": "no drift",
        "category": "no drift",
        "risk": "drift",
    }


def test_categories_in_other_shares_drift() -> None:
    found = compared(with_places(["north", "east"] * 150))["category"]
    assert found.verdict == "drift"
    assert found.test == "chi2"
    assert found.reason.startswith("PSI ")
    assert (found.unseen, found.missing) == (0.0, 0.0)


def test_few_rows_have_a_wider_limit_than_many() -> None:
    limits = [compared(clients(rows, 2))["number"].psi_limit for rows in (25, 50, 500)]
    # half of 5 %, shared by two columns and the risk; five bins of 25 rows, ten of more
    assert limits == [
        pytest.approx(psi_limit(2_000, 25, 5, 0.025 / 3)),
        pytest.approx(psi_limit(2_000, 50, 10, 0.025 / 3)),
        0.1,
    ]
    assert [round(limit, 2) for limit in limits if limit] == [0.55, 0.45, 0.1]


def test_the_numbers_are_those_of_scipy() -> None:
    frame = clients(300, 2)
    found = compared(frame)
    known = REFERENCE.categories["place"]
    now = frame["place"].value_counts()
    table = [[known[place] for place in PLACES], [now[place] for place in PLACES]]
    chi2 = stats.chi2_contingency(table, correction=False)
    of_age = stats.ks_2samp(REFERENCE.numbers["age"].sample, frame["age"], method="asymp")
    of_risk = stats.ks_2samp(REFERENCE.risk.sample, risk(300, 2), method="asymp")
    tests = (of_age, chi2, of_risk)
    corrected = np.minimum(1, 2 * stats.false_discovery_control([t.pvalue for t in tests]))
    for one, test, p_value in zip(found.values(), tests, corrected, strict=True):
        assert one.statistic == pytest.approx(test.statistic)
        assert one.p_value == pytest.approx(p_value)


def test_a_shift_that_ten_bins_hide_is_seen_by_kolmogorov_and_smirnov() -> None:
    ages = np.sort(clients(60, 2)["age"].to_numpy()) + 0.5
    found = compared(clients(60, 2).assign(age=ages))["number"]
    assert found.psi is not None
    assert found.psi_limit is not None
    assert found.p_value is not None
    assert 0.1 < found.psi < found.psi_limit
    assert found.verdict == "drift"
    assert found.reason == (
        f"PSI {found.psi:.3f} above 0.1, Kolmogorov-Smirnov test p {found.p_value:.2g}"
    )


def test_of_very_many_rows_a_difference_that_is_small_is_evident_and_no_drift() -> None:
    found = compared(clients(200_000, 2, shift=0.2))["number"]
    assert found.p_value is not None
    assert found.p_value < 1e-6
    assert found.verdict == "no drift"


# --- missing and unseen ---


def test_many_more_missing_are_drift() -> None:
    frame = clients(400, 2)
    frame.loc[:59, "age"] = np.nan
    found = compared(frame)["number"]
    assert (found.verdict, found.reason) == ("drift", "missing 15.0 %, before 0.0 %")
    assert (found.missing, found.missing_before) == (0.15, 0.0)


def test_many_fewer_missing_are_drift() -> None:
    gaps = clients(2_000, 1).assign(place=[""] * 400 + ["north"] * 1_600)
    reference = reference_of(gaps, risk(2_000, 1), SCHEMA, seed=1)
    found = compared(with_places(["north"] * 300), reference)["category"]
    assert (found.verdict, found.reason) == ("drift", "missing 0.0 %, before 20.0 %")


def test_a_few_more_missing_are_evident_and_no_drift() -> None:
    frame = clients(2_000, 2)
    frame.loc[:79, "age"] = np.nan
    found = compared(frame)["number"]
    assert found.missing_p_value is not None
    assert found.missing_p_value < 1e-9
    assert (found.missing, found.verdict) == (0.04, "no drift")


def test_a_few_missing_of_a_few_rows_are_no_evidence_of_more() -> None:
    gaps = clients(2_000, 1)
    gaps.loc[:99, "age"] = np.nan
    reference = reference_of(gaps, risk(2_000, 1), SCHEMA, seed=1)
    frame = clients(30, 2)
    frame.loc[:3, "age"] = np.nan
    found = compared(frame, reference)["number"]
    assert found.missing - found.missing_before > 0.05
    assert found.verdict == "no drift"


def test_missing_categories_are_no_category() -> None:
    some = compared(with_places([*PLACES] * 50))["category"]
    more = compared(with_places([*[*PLACES] * 50, *[""] * 8]))["category"]
    assert more.psi == some.psi
    assert (more.rows, more.missing) == (208, 8 / 208)


def test_a_column_without_any_value_is_drift_where_it_had_values() -> None:
    found = compared(clients(100, 2).assign(age=np.nan, place=""))
    for kind in ("number", "category"):
        assert (found[kind].verdict, found[kind].psi) == ("drift", None)
        assert found[kind].reason == "missing 100.0 %, before 0.0 %"


def test_a_column_that_never_had_a_value_tells_nothing() -> None:
    nothing = clients(100, 1).assign(age=np.nan, place="")
    reference = reference_of(nothing, risk(100, 1), SCHEMA, seed=1)
    found = compared(nothing, reference)
    for kind in ("number", "category"):
        assert found[kind].verdict == "not enough evidence"
        assert found[kind].reason == "rows with a value in the batch: 0, at least 20 are needed"


def test_a_new_category_is_drift_even_in_a_small_batch() -> None:
    places = ["north"] * 10 + ["south"] * 8 + ["west"] * 5 + ["east"] * 3 + ["abroad"] * 2
    found = compared(with_places(places))["category"]
    assert found.unseen == 2 / 28
    assert found.verdict == "drift"
    assert found.reason == "7.1 % in categories that the training data lack"


def test_a_few_of_many_rows_of_a_new_category_are_evident_and_no_drift() -> None:
    found = compared(with_places([*clients(2_000, 2)["place"], *["abroad"] * 60]))["category"]
    assert found.unseen_p_value is not None
    assert found.unseen_p_value < 1e-9
    assert (found.unseen, found.verdict) == (60 / 2_060, "no drift")


def test_two_rows_of_a_rare_category_are_nothing_to_be_sure_of() -> None:
    # a quarter of a row was to be expected: too few for chi-squared, so they count as west
    known = ["north"] * 1_000 + ["south"] * 700 + ["west"] * 290 + ["islands"] * 10
    reference = reference_of(with_places(known, seed=1), risk(2_000, 1), SCHEMA, seed=1)
    places = ["north"] * 25 + ["south"] * 17 + ["west"] * 6 + ["islands"] * 2
    found = compared(with_places(places), reference)["category"]
    assert (found.p_value, found.unseen) == (1.0, 0.0)


def test_a_single_row_of_a_new_category_is_not() -> None:
    places = ["north"] * 11 + ["south"] * 8 + ["west"] * 5 + ["east"] * 3 + ["abroad"]
    found = compared(with_places(places))["category"]
    assert found.unseen == 1 / 28
    assert found.verdict == "no drift"


def test_new_categories_are_usual_where_many_occurred_once() -> None:
    names = [f"street {i}" for i in range(2_000)]
    reference = reference_of(with_places(names, seed=1), risk(2_000, 1), SCHEMA, seed=1)
    found = compared(with_places([f"road {i}" for i in range(100)]), reference)["category"]
    assert (found.unseen, found.verdict) == (1.0, "no drift")


# --- little to compare ---


@pytest.mark.parametrize("rows", [0, 1, 19])
def test_of_few_rows_nothing_is_reported(rows: int) -> None:
    for found in compared(clients(rows, 2, shift=5)).values():
        assert found.verdict == "not enough evidence"
        assert found.reason == f"rows with a value in the batch: {rows}, at least 20 are needed"
        assert (found.rows, found.psi, found.p_value, found.missing) == (rows, None, None, 0.0)


def test_twenty_rows_are_enough() -> None:
    assert compared(clients(20, 2, shift=5))["number"].verdict == "drift"


def test_of_few_rows_of_training_data_nothing_is_reported() -> None:
    reference = reference_of(clients(19, 1), risk(19, 1), SCHEMA, seed=1)
    for found in compared(clients(500, 2), reference).values():
        assert found.verdict == "not enough evidence"
        assert found.reason == "rows with a value in the training data: 19, at least 20 are needed"


def constant(rows: int, age: float, place: str) -> pd.DataFrame:
    return clients(rows, 1).assign(age=age, place=place)


CONSTANT = reference_of(constant(200, 7, "north"), np.full(200, 0.25), SCHEMA, seed=1)


def test_columns_of_one_value_that_stay_so_are_no_drift() -> None:
    found = compared(constant(100, 7, "north"), CONSTANT, np.full(100, 0.25))
    assert [(one.verdict, one.psi, one.p_value) for one in found.values()] == [
        ("no drift", 0.0, 1.0)
    ] * 3


@pytest.mark.parametrize("age", [6.9, 7.1])
def test_columns_of_one_value_that_get_another_are_drift(age: float) -> None:
    found = compared(constant(100, age, "south"), CONSTANT, np.full(100, age / 10))
    assert [one.verdict for one in found.values()] == ["drift"] * 3


def test_a_column_that_the_reference_lacks_is_reported() -> None:
    other = replace(REFERENCE, numbers={"size": Numbers(0, 0, ())}, categories={})
    with pytest.raises(ValueError, match=r"^the reference has no column age, place$"):
        compared(clients(30, 1), other)


frames = st.integers(0, 60).flatmap(
    lambda rows: st.tuples(
        st.lists(
            st.sampled_from([0.0, 1.0, float("nan")]) | st.floats(-1e100, 1e100),
            min_size=rows,
            max_size=rows,
        ),
        st.lists(st.sampled_from(["", "a", "b", "c"]), min_size=rows, max_size=rows),
        st.lists(st.floats(0, 1), min_size=rows, max_size=rows),
    )
)


@given(before=frames, now=frames)
@settings(max_examples=60, deadline=None)
def test_whatever_the_columns_hold_there_is_a_verdict_without_a_warning(
    before: tuple[list[float], list[str], list[float]],
    now: tuple[list[float], list[str], list[float]],
) -> None:
    (old, old_risk), (new, new_risk) = (
        (
            pd.DataFrame({"age": np.array(ages, float), "place": pd.Series(places, dtype="str")}),
            np.array(risks, float),
        )
        for ages, places, risks in (before, now)
    )
    reference = reference_of(old, old_risk, SCHEMA, seed=1)
    for found in compare_input(reference, new, new_risk, SCHEMA):
        assert found.verdict in ("drift", "no drift", "not enough evidence")
        assert found.reason
        values = (found.psi, found.psi_limit, found.p_value, found.missing, found.unseen)
        assert all(value is None or np.isfinite(value) for value in values)


@pytest.mark.parametrize("rows", [25, 500])
def test_a_batch_without_any_change_is_taken_for_drift_about_once_in_twenty(rows: int) -> None:
    alarms = sum(
        any(
            found.verdict == "drift"
            for found in compare_input(REFERENCE, clients(rows, seed), risk(rows, seed), SCHEMA)
        )
        for seed in range(10, 210)
    )
    assert alarms <= 20  # 5 % of 200, and three standard errors


@pytest.mark.parametrize("rows", [1000, 10_000])
def test_many_equally_likely_categories_do_not_drift_by_chance(rows: int) -> None:
    schema = Schema("client", "left", (), ("place",))
    alarms = 0
    for seed in range(25):
        random = np.random.default_rng(seed)
        then, now = (
            pd.DataFrame({"place": [f"p{i}" for i in random.integers(200, size=size)]})
            for size in (1000, rows)
        )
        risk = random.random(1000)
        found = compare_input(reference_of(then, risk, schema, seed), now, risk, schema)
        alarms += found[0].verdict == "drift"
    assert alarms <= 2


@pytest.mark.parametrize("model", ["logistic", "boosting"])
def test_the_risk_of_a_fitted_model_does_not_drift_by_chance(model: str) -> None:
    schema = Schema("client", "left", ("x", "y"))
    random = np.random.default_rng(11)

    def rows(count: int) -> pd.DataFrame:
        x, y = random.normal(size=(2, count))
        left = random.random(count) < 1 / (1 + np.exp(-2 * np.sin(2 * x) - y))
        names = [f"c{i}" for i in range(count)]
        return pd.DataFrame({"client": names, "x": x, "y": y, "left": left.astype(float)})

    known = rows(1500)
    fitted = fit(TrainingData(known, known, schema), Policy(model=model))
    reference = reference_of(known, fitted.risk, schema, 0)
    alarms = 0
    for _ in range(12):
        batch = rows(1500)
        found = compare_input(reference, batch, risk_of(fitted.model, batch), schema)
        alarms += found[-1].verdict == "drift"
    assert alarms <= 1


# the population stability index


NUMBERS = st_numpy.arrays(
    "float64", st.integers(20, 200), elements=st.floats(-1e100, 1e100, allow_nan=False)
)
FEW_NUMBERS = st_numpy.arrays(
    "float64", st.integers(20, 200), elements=st.sampled_from([0, 1, 2.5])
)


def test_a_value_on_an_edge_belongs_below_it() -> None:
    edges = quantile_edges(np.arange(1.0, 101.0), 4)
    assert edges.tolist() == [25, 50, 75]
    assert binned(np.array([25.0, 25.5, 75.0, 76.0, 1e9]), edges).tolist() == [1, 1, 1, 2]


def test_where_values_tie_they_have_a_bin_of_their_own() -> None:
    sample = np.sort(np.concatenate([np.zeros(60), np.arange(1.0, 41.0)]))
    edges = quantile_edges(sample, 10)
    assert binned(np.array([-1.0, 0.0, 0.0, 1.0]), edges).tolist() == [1, 2, 1, 0, 0, 0]


def test_a_constant_is_distinguished_from_what_is_lower_and_higher() -> None:
    edges = quantile_edges(np.full(100, 7.0), 10)
    assert binned(np.array([6.0, 7.0, 7.0, 8.0]), edges).tolist() == [1, 2, 1]


@given(sample=NUMBERS | FEW_NUMBERS, bins=st.integers(1, 10))
def test_edges_rise_and_no_value_is_lost(sample: np.ndarray, bins: int) -> None:
    edges = quantile_edges(np.sort(sample), bins)
    assert (np.diff(edges) > 0).all()
    assert binned(sample, edges).sum() == len(sample)


def test_psi_is_the_sum_of_differences_times_logarithms() -> None:
    # smoothed: 20.5 / 81 and 60.5 / 81 before, 40.5 / 81 and 40.5 / 81 now
    expected = (20 / 81) * np.log(40.5 / 20.5) - (20 / 81) * np.log(40.5 / 60.5)
    assert psi(np.array([20, 60]), np.array([40, 40])) == pytest.approx(expected)


COUNTS = st.lists(st.tuples(st.integers(0, 100), st.integers(0, 100)), min_size=1, max_size=12)


@given(COUNTS)
def test_psi_is_never_negative_and_the_same_from_either_side(pairs: list[tuple[int, int]]) -> None:
    before, now = np.array(pairs).T
    assert psi(before, now) >= 0
    assert psi(before, now) == pytest.approx(psi(now, before))
    assert psi(before, before) == pytest.approx(0)


def test_the_limit_is_a_quantile_of_chi_squared() -> None:
    expected = stats.chi2.ppf(0.95, 9) * (1 / 50 + 1 / 5000)
    assert psi_limit(5_000, 50, 10, 0.05) == pytest.approx(expected)


def test_the_limit_is_no_less_than_what_matters() -> None:
    assert psi_limit(5_000, 10_000, 10, 0.05) == 0.1
    assert psi_limit(5_000, 50, 1, 0.05) == 0.1
