"""What `config.json` decides: the model, the threshold, drift, redeployment."""

import re
from dataclasses import dataclass, replace
from enum import StrEnum

from pipeline.core.config_reader import (
    Kind,
    ObjectReader,
    member,
    number,
    one_of,
    optional,
    whole_number,
)


class DriftTest(StrEnum):
    """A test for drift of scores."""

    RAW = "raw"
    PARAMETRIC = "parametric"
    NONPARAMETRIC = "nonparametric"
    BOOTSTRAP = "bootstrap"
    RANKING = "ranking"


class RetrainOn(StrEnum):
    """What leads to a challenger besides drift of scores."""

    SCORE = "score"  # nothing else
    INPUT = "input"  # drift of the input
    NEW_DATA = "new_data"  # any new row with a known outcome


class Gate(StrEnum):
    """What a challenger must reach to be deployed."""

    NOT_WORSE = "not_worse"  # an F1 no lower than the champion's
    BETTER = "better"  # a difference whose 95 % interval is above zero
    ALWAYS = "always"
    EVIDENCE = "evidence"  # of ROC AUC and log loss, or profit, on the newest rows
    MANUAL = "manual"  # a person, who promotes it


_LEARN_FROM = re.compile(r"auto|all|[1-9][0-9]{0,8} (days|rows)")
MAX_AMOUNT = 1e15  # of a sum of money
MAX_SEED = 2**32 - 1  # that scikit-learn takes
AMOUNT = optional(number(lambda value: 0 < value < MAX_AMOUNT, "a number above 0"))
ASSUMED_SAVE_RATE = 0.1  # where none is given, or none is measured yet
MEASURED = "measured"
RATE = optional(
    Kind(
        lambda value: value == MEASURED or (type(value) in (int, float) and 0 < value <= 1),
        f'a number above 0, up to 1, or "{MEASURED}"',
    )
)
CHOICES = {
    "model": one_of("logistic", "boosting", "auto"),
    "threshold": Kind(
        lambda value: (
            value in ("f1", "value")
            if isinstance(value, str)
            else type(value) is float and 0 < value < 1
        ),
        'a number between 0 and 1, "f1" or "value"',
    ),
    "drift_test": member(DriftTest),
    "retrain_on": member(RetrainOn),
    "gate": member(Gate),
    "retrain_after_days": whole_number(1, 36_600),
    "learn_from": Kind(
        lambda value: isinstance(value, str) and bool(_LEARN_FROM.fullmatch(value)),
        '"auto", "all", or a number of days or rows, such as "180 days" or "50000 rows"',
    ),
    "seed": whole_number(0, MAX_SEED),
}
MIN_ROWS = 100  # labelled: what is chosen, tuned or judged on fewer goes by noise
MIN_OF_AN_OUTCOME = 20  # of these rows
WORTH_KEYS = ("contact_cost", "client_value", "save_rate")
POLICY_KEYS = (
    *("model", "threshold", *WORTH_KEYS, "drift_test", "retrain_on", "gate"),
    *("retrain_after_days", "learn_from", "seed"),
)


@dataclass(frozen=True)
class Worth:
    """What a client is worth, and contacting one: in any one currency."""

    client_value: float | str | None = None  # a sum, or the number column that holds each client's
    contact_cost: float | None = None
    # the share of leaving clients whom a contact keeps; None until a measured one is looked up
    save_rate: float | None = None
    measured: bool = False  # whether that is what a control group shows, as soon as it shows it

    @property
    def of_all(self) -> float | None:
        """What each client is worth, where that is one sum."""
        return None if isinstance(self.client_value, str) else self.client_value

    @property
    def column(self) -> str | None:
        """The column that holds what each is worth."""
        return self.client_value if isinstance(self.client_value, str) else None


@dataclass(frozen=True)
class Policy:
    """The decisions left to the config, each with its default."""

    model: str = "auto"
    threshold: float | str = "f1"
    worth: Worth = Worth()
    drift_test: DriftTest = DriftTest.RANKING
    retrain_on: RetrainOn = RetrainOn.SCORE
    gate: Gate = Gate.EVIDENCE
    retrain_after_days: int = 90
    learn_from: str = "auto"
    seed: int = 0

    @property
    def of_few_rows(self) -> "Policy":
        """What applies where few rows do not show how a model ranks: then its F1 decides."""
        ranking, evidence = DriftTest.RANKING, Gate.EVIDENCE
        return replace(
            self,
            drift_test=DriftTest.RAW if self.drift_test == ranking else self.drift_test,
            gate=Gate.NOT_WORSE if self.gate == evidence else self.gate,
        )


def enough_rows(rows: int, left: int) -> bool:
    """Whether so many labelled rows, of which so many left, are enough to choose or tune by."""
    return rows >= MIN_ROWS and MIN_OF_AN_OUTCOME <= left <= rows - MIN_OF_AN_OUTCOME


def read_policy(reader: ObjectReader, numeric: tuple[str, ...]) -> Policy:
    """The policy of a config whose table has these number columns."""
    default = Policy()
    chosen = {key: reader.get(key, getattr(default, key), kind) for key, kind in CHOICES.items()}
    policy = Policy(**chosen, worth=_worth(reader, numeric))
    if policy.threshold == "value":
        _check_worth(reader, policy.worth)
    return policy


def _worth(reader: ObjectReader, numeric: tuple[str, ...]) -> Worth:
    value = reader.values.get("client_value")
    if isinstance(value, str):
        value = value.strip()
        if value not in numeric:
            reader.problem("client_value", f'names no number column of the schema: "{value}"')
    else:
        value = reader.get("client_value", None, AMOUNT)
    rate = reader.get("save_rate", None, RATE)
    measured = rate == MEASURED
    cost = reader.get("contact_cost", None, AMOUNT)
    return Worth(value, cost, None if measured else rate, measured)


def _check_worth(reader: ObjectReader, worth: Worth) -> None:
    """The threshold "value" needs all three, and a contact that can pay."""
    for key in WORTH_KEYS:
        if reader.values.get(key) is None:
            reader.problem(key, 'is missing: "threshold": "value" needs it')
    value, cost, rate = worth.of_all, worth.contact_cost, worth.save_rate
    if value and cost and rate and cost >= rate * value:
        reader.problem(
            "contact_cost",
            f"is {cost:g}, no less than save_rate * client_value ({rate * value:g}):"
            " no client would be worth contacting",
        )
