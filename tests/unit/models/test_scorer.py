"""What a scorer gives against the model itself, for every make of model, and its parts."""

from itertools import product
from typing import Any

import numpy as np
import pytest
from modelling import MAKES, MIXED, SCHEMAS, core_of, made, random_table
from sklearn.isotonic import IsotonicRegression

from pipeline.data.frames import features_of
from pipeline.models.calibration import Calibration, fitted_calibrator, with_threshold
from pipeline.models.scorer import Scorer, unwrap_model

TABLE = random_table(MIXED)
FEATURES, OUTCOMES = TABLE[list(MIXED.features)], TABLE[MIXED.outcome].to_numpy()
CORE: Any = core_of(MIXED, "logistic")
CALIBRATOR: Any = fitted_calibrator("isotonic", CORE.decision_function(FEATURES), OUTCOMES)
CURVED: Any = Calibration("isotonic", CALIBRATOR, np.empty(0), {}).apply(CORE)


@pytest.mark.parametrize(
    ("name", "kind", "method", "threshold"),
    [(name, *make) for name, make in product(SCHEMAS, MAKES)],
)
def test_scores_are_what_the_model_gives(
    name: str, kind: str, method: str, threshold: float
) -> None:
    schema = SCHEMAS[name]
    model, table = made(schema, kind, method, threshold), random_table(schema)
    features = table[list(schema.features)]

    found = Scorer(model, schema).scores(features_of(table, schema))

    expected = model.predict_proba(features)[:, 1]
    np.testing.assert_allclose(found.risk, expected, rtol=0, atol=1e-15)
    assert found.outcomes.tolist() == model.predict(features).tolist()
    assert found.outcomes.dtype == np.int64


@pytest.mark.parametrize("kind", ["logistic", "boosting"])
def test_a_risk_at_the_threshold_is_predicted_to_leave(kind: str) -> None:
    rows = features_of(TABLE, MIXED)
    risk = Scorer(made(MIXED, kind, "isotonic"), MIXED).scores(rows).risk
    level = float(np.sort(risk)[len(risk) // 2])

    found = Scorer(made(MIXED, kind, "isotonic", level), MIXED).scores(rows)

    assert (found.outcomes[found.risk == level] == 1).all()
    assert found.outcomes.tolist() == (found.risk >= level).tolist()


def test_a_calibrated_risk_of_one_half_is_predicted_to_stay() -> None:
    half = IsotonicRegression(out_of_bounds="clip").fit([-1.0, 1.0], [0.5, 0.5])
    model = Calibration("isotonic", half, np.empty(0), {}).apply(made(MIXED, "boosting"))

    found = Scorer(model, MIXED).scores(features_of(TABLE, MIXED))

    assert set(found.risk) == {0.5}
    assert not found.outcomes.any()


@pytest.mark.parametrize("kind", ["logistic", "boosting"])
def test_log_odds_are_those_before_calibration_whichever_rows_are_asked_with(kind: str) -> None:
    scorer = Scorer(made(MIXED, kind, "isotonic", 0.3), MIXED)

    found = scorer.decision(TABLE)

    expected = core_of(MIXED, kind).decision_function(FEATURES)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)
    alone = [scorer.decision(TABLE[i : i + 1])[0] for i in range(20)]
    assert found[:20].tolist() == alone


def test_a_model_is_taken_apart() -> None:
    assert unwrap_model(CORE) == unwrap_model(CURVED) == (CORE, None)
    assert unwrap_model(with_threshold(CORE, 0.3)) == (CORE, 0.3)
    assert unwrap_model(with_threshold(CURVED, 0.3)) == (CORE, 0.3)
