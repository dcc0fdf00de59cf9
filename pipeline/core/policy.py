"""What `config.json` decides: the model, the threshold, drift, redeployment."""

from typing import NamedTuple

from pipeline.core.config_reader import ObjectReader, as_json

MODELS = ("logistic", "boosting", "auto")
THRESHOLDS = ("f1", "value")
DRIFT_TESTS = ("raw", "parametric", "nonparametric", "bootstrap")
RETRAIN_ON = ("score", "input", "new_data")
GATES = ("not_worse", "better", "always")
LARGEST_SEED = 2**32 - 1  # that scikit-learn takes
POLICY_KEYS = (
    "model",
    "threshold",
    "contact_cost",
    "client_value",
    "save_rate",
    "drift_test",
    "retrain_on",
    "gate",
    "seed",
)


class Worth(NamedTuple):
    """What a client is worth, and contacting one: in any one currency."""

    client_value: float | str | None = None  # a sum, or the number column that holds each client's
    contact_cost: float | None = None
    save_rate: float | None = None  # the share of leaving clients whom a contact keeps

    @property
    def of_all(self) -> float | None:
        """What each client is worth, where that is one sum."""
        return None if isinstance(self.client_value, str) else self.client_value

    @property
    def column(self) -> str | None:
        """The column that holds what each is worth."""
        return self.client_value if isinstance(self.client_value, str) else None


class Policy(NamedTuple):
    """The decisions left to the config, each with its default."""

    model: str = "logistic"
    threshold: float | str = 0.5
    worth: Worth = Worth()
    drift_test: str = "raw"
    retrain_on: str = "score"
    gate: str = "not_worse"
    seed: int = 0


def read_policy(reader: ObjectReader, numeric: tuple[str, ...]) -> Policy:
    """The policy of a config whose table has these number columns."""
    policy = Policy(
        model=reader.choice("model", "logistic", MODELS),
        threshold=_threshold(reader),
        worth=_worth(reader, numeric),
        drift_test=reader.choice("drift_test", "raw", DRIFT_TESTS),
        retrain_on=reader.choice("retrain_on", "score", RETRAIN_ON),
        gate=reader.choice("gate", "not_worse", GATES),
        seed=reader.integer("seed", 0, least=0, most=LARGEST_SEED),
    )
    if policy.threshold == "value":
        _check_worth(reader, policy.worth)
    return policy


def _threshold(reader: ObjectReader) -> float | str:
    value = reader.values.get("threshold", 0.5)
    if value in THRESHOLDS and isinstance(value, str):
        return value
    if type(value) in (int, float) and 0 < value < 1:
        return float(value)
    told = 'must be a number between 0 and 1, "f1" or "value", not'
    reader.problem("threshold", f"{told} {as_json(value)}")
    return 0.5


def _worth(reader: ObjectReader, numeric: tuple[str, ...]) -> Worth:
    value = reader.values.get("client_value")
    if isinstance(value, str):
        if value.strip() not in numeric:
            reader.problem("client_value", f'names no number column of the schema: "{value}"')
        value = value.strip()
    elif value is not None:
        value = reader.amount("client_value")
    cost, rate = reader.amount("contact_cost"), reader.values.get("save_rate")
    if rate is not None and not (type(rate) in (int, float) and 0 < rate <= 1):
        reader.problem("save_rate", f"must be a number above 0, up to 1, not {as_json(rate)}")
        rate = None
    return Worth(value, cost, None if rate is None else float(rate))


def _check_worth(reader: ObjectReader, worth: Worth) -> None:
    """The threshold "value" needs all three, and somebody whom it pays to contact."""
    for key in ("contact_cost", "client_value", "save_rate"):
        if reader.values.get(key) is None:
            reader.problem(key, 'is missing: "threshold": "value" needs it')
    value, cost, rate = worth.of_all, worth.contact_cost, worth.save_rate
    if value and cost and rate and cost >= rate * value:
        told = f"is {cost:g}, no less than save_rate * client_value ({rate * value:g})"
        reader.problem("contact_cost", f"{told}: no client would be worth contacting")
