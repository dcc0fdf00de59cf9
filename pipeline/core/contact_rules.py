"""Whom to contact, as the config says: how often, how many, and whom to leave alone to compare."""

from dataclasses import astuple, dataclass
from datetime import date

from pipeline.core.config_reader import ObjectReader, number, optional, whole_number

CONTACT_KEYS = ("cool_down_days", "contact_capacity", "control_share", "campaign_days")
MIN_SHARE = 0.01  # of a control group: of a smaller one nothing would be learned in years


@dataclass(frozen=True)
class ContactRules:
    """Of whom the risk says that a contact is due, who is contacted, and when again."""

    cool_down_days: int = 30  # from a contact until the client may be proposed again
    capacity: int | None = None  # how many clients can be contacted in a week
    control_share: float = 0.0  # of those who would be proposed, the share that is left alone
    campaign_days: int = 90  # for how long the same ones are

    def mark(self, day: date) -> str:
        """What is noted when the ranking was last looked at: the day, and these rules."""
        return f"{day} {astuple(self)}"


def read_contact_rules(reader: ObjectReader) -> ContactRules:
    """The rules of a config."""
    default = ContactRules()
    return ContactRules(
        reader.get("cool_down_days", default.cool_down_days, whole_number(0, 3_660)),
        reader.get("contact_capacity", None, optional(whole_number(1))),
        reader.get("control_share", default.control_share, _CONTROL_SHARE),
        reader.get("campaign_days", default.campaign_days, whole_number(1, 3_660)),
    )


_CONTROL_SHARE = number(
    lambda value: value == 0 or MIN_SHARE <= value <= 0.5, f"0, or a number from {MIN_SHARE} to 0.5"
)
