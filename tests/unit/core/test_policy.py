import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.core.config import load_config
from pipeline.core.errors import ConfigError
from pipeline.core.policy import Policy, Worth

PATHS = {
    "input_folder_path": "sourcedata",
    "output_folder_path": "ingesteddata",
    "test_data_path": "testdata",
    "output_model_path": "models",
    "prod_deployment_path": "production_deployment",
}
WORTH = {"contact_cost": 20, "client_value": 1000, "save_rate": 0.25}


def policy(folder: Path, **keys: Any) -> Policy:
    path = folder / "config.json"
    path.write_text(json.dumps({**PATHS, **keys}))
    return load_config(path).policy


def problems(folder: Path, **keys: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        policy(folder, **keys)
    return str(caught.value).replace(f"{folder}/config.json: ", "")


def test_every_key_is_heeded(tmp_path: Path) -> None:
    keys = {
        "model": "auto",
        "threshold": "value",
        **WORTH,
        "drift_test": "bootstrap",
        "retrain_on": "input",
        "gate": "better",
        "retrain_after_days": 30,
        "learn_from": "180 days",
        "seed": 7,
    }
    worth = Worth(1000.0, 20.0, 0.25)
    assert policy(tmp_path, **keys) == Policy(
        *("auto", "value", worth, "bootstrap", "input", "better", 30, "180 days", 7)
    )


@pytest.mark.parametrize("threshold", [0.2, "f1"])
def test_a_threshold_is_a_number_or_a_rule(tmp_path: Path, threshold: float | str) -> None:
    assert policy(tmp_path, threshold=threshold).threshold == threshold


def test_a_clients_value_may_be_a_column(tmp_path: Path) -> None:
    worth = policy(tmp_path, **{**WORTH, "client_value": "number_of_employees"}).worth
    assert (worth.of_all, worth.column) == (None, "number_of_employees")


def test_a_clients_value_may_be_one_sum(tmp_path: Path) -> None:
    worth = policy(tmp_path, client_value=30).worth
    assert (worth.of_all, worth.column) == (30.0, None)


@pytest.mark.parametrize(
    ("key", "value", "result"),
    [
        ("model", "forest", 'must be one of "logistic", "boosting", "auto", not "forest"'),
        ("model", ["auto"], 'must be one of "logistic", "boosting", "auto", not ["auto"]'),
        ("threshold", 1, 'must be a number between 0 and 1, "f1" or "value", not 1'),
        ("threshold", 0, 'must be a number between 0 and 1, "f1" or "value", not 0'),
        ("threshold", True, 'must be a number between 0 and 1, "f1" or "value", not true'),
        ("threshold", "F1", 'must be a number between 0 and 1, "f1" or "value", not "F1"'),
        ("threshold", [], 'must be a number between 0 and 1, "f1" or "value", not []'),
        (
            "drift_test",
            "ks",
            'must be one of "raw", "parametric", "nonparametric", "bootstrap", "ranking", not "ks"',
        ),
        ("retrain_on", "drift", 'must be one of "score", "input", "new_data", not "drift"'),
        (
            "gate",
            None,
            'must be one of "not_worse", "better", "always", "evidence", "manual", not null',
        ),
        ("seed", -1, "must be a whole number from 0 to 4294967295, not -1"),
        ("seed", 2**32, "must be a whole number from 0 to 4294967295, not 4294967296"),
        ("client_value", "exited", 'names no number column of the schema: "exited"'),
        ("client_value", 0, "must be a number above 0, not 0"),
        ("contact_cost", "20", 'must be a number above 0, not "20"'),
        ("contact_cost", 1e300, "must be a number above 0, not 1e+300"),
        ("save_rate", 1.5, 'must be a number above 0, up to 1, or "measured", not 1.5'),
        ("save_rate", 0, 'must be a number above 0, up to 1, or "measured", not 0'),
        ("save_rate", True, 'must be a number above 0, up to 1, or "measured", not true'),
    ],
)
def test_what_cannot_be_is_reported(tmp_path: Path, key: str, value: Any, result: str) -> None:
    assert problems(tmp_path, **{key: value}) == f'"{key}" {result}'


def test_the_threshold_of_value_needs_all_three(tmp_path: Path) -> None:
    assert problems(tmp_path, threshold="value", client_value=5).splitlines() == [
        f'"{key}" is missing: "threshold": "value" needs it'
        for key in ("contact_cost", "save_rate")
    ]


def test_a_measured_save_rate_is_looked_up_later(tmp_path: Path) -> None:
    found = policy(tmp_path, threshold="value", **{**WORTH, "save_rate": "measured"})
    assert found.worth == Worth(1000, 20, None, measured=True)


def test_a_contact_that_never_pays_is_reported(tmp_path: Path) -> None:
    assert problems(tmp_path, threshold="value", **{**WORTH, "contact_cost": 250}) == (
        '"contact_cost" is 250, no less than save_rate * client_value (250):'
        " no client would be worth contacting"
    )


def test_a_column_is_called_by_its_name_unless_a_label_is_given(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    schema = {"client": "id", "outcome": "left", "numeric": ["Credit_Score", "Age"]}
    path.write_text(json.dumps({**PATHS, "schema": schema, "labels": {"Age": "years of age"}}))
    assert load_config(path).labels == {"Credit_Score": "Credit Score", "Age": "years of age"}


def test_a_label_of_no_feature_is_reported(tmp_path: Path) -> None:
    assert problems(tmp_path, labels={"lastmonth_activty": "x"}) == (
        '"labels.lastmonth_activty" is not a known key; did you mean "lastmonth_activity"?'
    )


def test_a_label_must_be_a_text(tmp_path: Path) -> None:
    result = problems(tmp_path, labels={"lastmonth_activity": ""})
    assert result == '"labels.lastmonth_activity" must be a text in quotes'
