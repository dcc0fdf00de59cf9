"""What `config.json` decides: the model, the threshold, drift, redeployment, contacts."""

import re
from dataclasses import astuple, dataclass, replace
from datetime import date
from enum import StrEnum
from typing import Annotated

from pipeline.core.json_reader import (
    Key,
    Kind,
    ObjectReader,
    keys_of,
    member,
    number,
    one_of,
    optional,
    text,
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


MAX_AMOUNT = 1e15  # of a sum of money
AMOUNT = optional(number(lambda value: 0 < value < MAX_AMOUNT, "a number above 0"))
ASSUMED_SAVE_RATE = 0.1  # where none is given, or none is measured yet
MEASURED = "measured"
RATE = optional(
    Kind(
        lambda value: value == MEASURED or (type(value) in (int, float) and 0 < value <= 1),
        f'a number above 0, up to 1, or "{MEASURED}"',
    )
)
MIN_SHARE = 0.01  # of a control group: of a smaller one nothing would be learned in years
THRESHOLD = Kind(
    lambda value: value in ("f1", "value") or (type(value) is float and 0 < value < 1),
    'a number between 0 and 1, "f1" or "value"',
)
LEARN_FROM = text(
    re.compile(r"auto|all|[1-9][0-9]{0,8} (days|rows)").fullmatch,
    '"auto", "all", or a number of days or rows, such as "180 days" or "50000 rows"',
)
CONTROL_SHARE = number(
    lambda value: value == 0 or MIN_SHARE <= value <= 0.5, f"0, or a number from {MIN_SHARE} to 0.5"
)
MIN_ROWS = 100  # labelled: what is chosen, tuned or judged on fewer goes by noise
MIN_OF_AN_OUTCOME = 20  # of these rows
WORTH_KEYS = ("contact_cost", "client_value", "save_rate")


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

    model: Annotated[str, one_of("logistic", "boosting", "auto")] = "auto"
    threshold: Annotated[float | str, THRESHOLD] = "f1"
    worth: Worth = Worth()
    drift_test: Annotated[DriftTest, member(DriftTest)] = DriftTest.RANKING
    retrain_on: Annotated[RetrainOn, member(RetrainOn)] = RetrainOn.SCORE
    gate: Annotated[Gate, member(Gate)] = Gate.EVIDENCE
    retrain_after_days: Annotated[int, whole_number(1, 36_600)] = 90
    learn_from: Annotated[str, LEARN_FROM] = "auto"
    seed: Annotated[int, whole_number(0, 2**32 - 1)] = 0  # that scikit-learn takes

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


POLICY_KEYS = (*keys_of(Policy), *WORTH_KEYS)


def read_policy(reader: ObjectReader, numeric: tuple[str, ...]) -> Policy:
    """The policy of a config whose table has these number columns."""
    policy: Policy = reader.fill(Policy, worth=_worth(reader, numeric))
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
        value = reader.get("client_value", AMOUNT, None)
    rate = reader.get("save_rate", RATE, None)
    measured = rate == MEASURED
    cost = reader.get("contact_cost", AMOUNT, None)
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


@dataclass(frozen=True)
class ContactRules:
    """Of whom the risk says that a contact is due, who is contacted, and when again."""

    # from a contact until the client may be proposed again
    cool_down_days: Annotated[int, whole_number(0, 3_660)] = 30
    # how many clients can be contacted in a week
    capacity: Annotated[int | None, optional(whole_number(1)), Key("contact_capacity")] = None
    # of those who would be proposed, the share that is left alone, and for how long the same ones
    control_share: Annotated[float, CONTROL_SHARE] = 0.0
    campaign_days: Annotated[int, whole_number(1, 3_660)] = 90

    def mark(self, day: date) -> str:
        """What is noted when the ranking was last looked at: the day, and these rules."""
        return f"{day} {astuple(self)}"
