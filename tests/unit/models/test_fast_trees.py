"""Tables of boosted trees against the pipeline they are made of, to the last digit."""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from modelling import MIXED, SCHEMAS, WORDS, core_of, manifest_of, random_table, rows_of
from sklearn.ensemble import HistGradientBoostingClassifier

from pipeline.core.schema import DEFAULT_SCHEMA, LARGEST_NUMBER, Schema
from pipeline.data.features import Features, features_of
from pipeline.models.estimators import MAX_CATEGORIES, fit_model, untrained_model
from pipeline.models.fast_trees import ROWS, Trees, trees_of
from pipeline.models.scorer import (
    UNKNOWN,
    ByEstimator,
    ByNumbers,
    agrees,
    numbers_of,
    probing_rows,
    scorer_of,
)


def trees(model: Any) -> Trees:
    found = trees_of(model)
    assert found is not None
    return found


def assert_same(model: Any, schema: Schema, rows: Features) -> None:
    """The tables give what the model gives, to the last digit."""
    expected = model.decision_function(rows.frame(schema)).tolist()
    assert trees(model).decision(rows).tolist() == expected


@pytest.mark.parametrize("name", SCHEMAS)
@settings(max_examples=10, deadline=None)
@given(st.data())
def test_the_tables_give_what_the_trees_give(name: str, data: st.DataObject) -> None:
    schema = SCHEMAS[name]

    assert_same(core_of(schema), schema, data.draw(rows_of(schema)))


@pytest.mark.parametrize("name", ["numbers", "mixed"])
def test_numbers_at_an_edge_and_just_beside_it_go_the_right_way(name: str) -> None:
    schema = SCHEMAS[name]
    model = core_of(schema)
    usual = features_of(random_table(schema).head(1), schema)
    for i, table in enumerate(trees(model).numbers):
        taken = table.edges[table.edges <= LARGEST_NUMBER]
        values = np.array([np.nextafter(taken, -np.inf), taken, np.nextafter(taken, np.inf)])
        assert values.size > 60
        numbers = np.repeat(usual.numbers, values.size, axis=0)
        numbers[:, i] = values.ravel()
        texts = tuple(words * values.size for words in usual.texts)
        assert_same(model, schema, Features(numbers, texts))


@pytest.mark.parametrize("count", [0, 1, ROWS - 1, ROWS, ROWS + 1, 3 * ROWS])
def test_any_number_of_rows_is_answered(count: int) -> None:
    rows = features_of(random_table(MIXED, 3 * ROWS, seed=3)[:count], MIXED)

    decision = trees(core_of(MIXED)).decision(rows)

    assert decision.shape == (count,)
    assert decision.tolist() == ByEstimator(core_of(MIXED), MIXED).decision(rows).tolist()


def test_missing_values_are_distinguished_where_they_mean_something() -> None:
    schema = Schema("client", "left", ("age",), ())
    random = np.random.default_rng(5)
    ages = random.choice([np.nan, 20.0, 30.0], 600)
    left = (np.isnan(ages) ^ (random.random(600) < 0.1)).astype("float64")
    model = fit_model("boosting", pd.DataFrame({"age": ages, "left": left}), schema)
    rows = Features(np.array([[np.nan], [20.0], [30.0], [-1e100], [1e100]]), ())

    assert_same(model, schema, rows)
    assert (trees(model).decision(rows) > 0).tolist() == [True, False, False, False, False]


def words_table(count: int, rows: int) -> pd.DataFrame:
    """A column of many words, some of them rare, every other of which tells who leaves."""
    random = np.random.default_rng(6)
    picked = (count * random.random(rows) ** 2).astype(int)
    table = {"place": [f"p{i}" for i in picked], "left": picked % 2 ^ (random.random(rows) < 0.1)}
    return pd.DataFrame(table).astype({"place": "str", "left": "float64"})


@pytest.mark.parametrize("count", [2, MAX_CATEGORIES, MAX_CATEGORIES + 1])
def test_many_categories_are_distinguished_as_the_model_does(count: int) -> None:
    schema = Schema("client", "left", (), ("place",))
    table = words_table(count, 6000)
    model = fit_model("boosting", table, schema)
    words = [*table["place"].unique(), "", "new", UNKNOWN]

    assert_same(model, schema, Features(np.empty((len(words), 0)), (words,)))
    assert len(trees(model).words[0].open) <= MAX_CATEGORIES + 1
    assert isinstance(scorer_of(model, manifest_with(schema, table)), ByNumbers)


def manifest_with(schema: Schema, table: pd.DataFrame) -> Any:
    check = manifest_of(core_of(WORDS), WORDS)
    rows = tuple(zip(table[schema.features[0]].head(5), strict=True))
    return replace(check, schema=schema, self_check=replace(check.self_check, rows=rows))


def test_trees_of_nothing_but_a_leaf_are_asked_too() -> None:
    model = fit_model("boosting", random_table(MIXED, rows=20), MIXED)
    rows = features_of(random_table(MIXED, rows=5), MIXED)

    assert_same(model, MIXED, rows)
    assert len(set(trees(model).decision(rows))) == 1


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_lightened_booster_gives_what_it_gave(name: str) -> None:
    schema = SCHEMAS[name]
    table = random_table(schema)
    features = table[list(schema.features)]
    whole = untrained_model("boosting", table, schema).fit(
        features, table[schema.outcome].astype(int)
    )
    other = random_table(schema, seed=9)[list(schema.features)]

    assert np.array_equal(core_of(schema).predict_proba(other), whole.predict_proba(other))


def with_table(found: Trees, column: int, **parts: Any) -> Trees:
    """Another table for a numeric column."""
    numbers = [*found.numbers]
    numbers[column] = numbers[column]._replace(**parts)
    return replace(found, numbers=tuple(numbers))


def with_words(found: Trees, column: int, opened: np.ndarray) -> Trees:
    """Other entries in the table of a categorical column."""
    words = [*found.words]
    words[column] = words[column]._replace(open=opened)
    return replace(found, words=tuple(words))


def moved(opened: np.ndarray, into: int, out_of: int) -> np.ndarray:
    """One place of a table holds what another holds."""
    copy = opened.copy()
    copy[into] = copy[out_of]
    return copy


BROKEN: dict[str, Any] = {
    "an edge on the other side": lambda of: with_table(
        of, 0, edges=np.nextafter(of.numbers[0].edges, -np.inf)
    ),
    "all edges one further": lambda of: with_table(of, 1, open=np.roll(of.numbers[1].open, 1, 0)),
    "missing as the largest": lambda of: with_table(of, 0, open=moved(of.numbers[0].open, -1, -2)),
    "a word as another": lambda of: with_words(of, 0, moved(of.words[0].open, -2, 1)),
    "an unknown word as another": lambda of: with_words(of, 1, moved(of.words[1].open, -1, 0)),
    "swapped columns": lambda of: replace(of, numbers=of.numbers[::-1]),
    "swapped categories": lambda of: replace(of, words=of.words[::-1]),
    "values": lambda of: replace(of, values=of.values * (1 + 1e-9)),
    "swapped leaves": lambda of: replace(of, values=of.values.reshape(-1, 2)[:, ::-1].ravel()),
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_wrong_table_is_noticed(what: str) -> None:
    estimator = ByEstimator(core_of(MIXED), MIXED)
    right = trees(estimator.model)
    probes = probing_rows(manifest_of(estimator.model, MIXED))

    assert agrees(ByNumbers(right), estimator, probes)
    assert not agrees(ByNumbers(BROKEN[what](right)), estimator, probes)


def fitted(**parameters: Any) -> Any:
    """A booster like ours but for some parameters."""
    table = random_table(DEFAULT_SCHEMA)
    model: Any = untrained_model("boosting", table, DEFAULT_SCHEMA)
    model["boosting"].set_params(max_iter=5, **parameters)
    model.fit(table[list(DEFAULT_SCHEMA.features)], table[DEFAULT_SCHEMA.outcome].astype(int))
    return model


def test_trees_of_too_many_leaves_are_left_to_the_model() -> None:
    assert trees_of(fitted(max_leaf_nodes=16, min_samples_leaf=5)) is not None
    assert trees_of(fitted(max_leaf_nodes=17, min_samples_leaf=5)) is None


def test_a_booster_that_encodes_by_itself_is_left_to_the_model() -> None:
    table = random_table(MIXED)
    model: Any = untrained_model("boosting", table, MIXED)
    model.fit(table[list(MIXED.features)], table[MIXED.outcome].astype(int))

    assert trees_of(model) is None
    assert numbers_of(model) is None


def test_any_other_model_has_no_such_tables() -> None:
    table = random_table(DEFAULT_SCHEMA)
    alone = HistGradientBoostingClassifier(max_iter=5).fit(
        table[list(DEFAULT_SCHEMA.features)], table[DEFAULT_SCHEMA.outcome]
    )

    for model in (core_of(MIXED, "logistic"), alone, {}, None):
        assert trees_of(model) is None


def test_a_model_that_only_looks_like_one_of_ours_is_asked_itself(
    caplog: pytest.LogCaptureFixture,
) -> None:
    model = fitted()
    model["columns"].named_transformers_["numbers"].set_params(with_mean=True)
    model["columns"].named_transformers_["numbers"].mean_ = np.ones(3)
    assert trees_of(model) is not None

    assert isinstance(scorer_of(model, manifest_of(model, DEFAULT_SCHEMA)), ByEstimator)
    assert "do not give what the model gives" in caplog.text
