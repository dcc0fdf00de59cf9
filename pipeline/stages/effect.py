"""The save rate that decisions go by: the config's, or the one that a control group shows."""

import logging
from dataclasses import replace

from pipeline.action.effect import measure_effect
from pipeline.core.config import Config
from pipeline.core.formatting import format_percent
from pipeline.core.policy import ASSUMED_SAVE_RATE
from pipeline.observations.master import Master
from pipeline.storage.database import History

log = logging.getLogger("pipeline")
DECIMALS = 4  # of a measured rate, which a model card repeats


def with_save_rate(config: Config, history: History, rows: Master) -> Config:
    """The config with the save rate that is measured, where it says "measured".

    As long as none is, or its interval reaches down to 0, one is assumed, and the log says why.
    """
    worth = config.policy.worth
    if not worth.measured or worth.save_rate is not None:
        return config
    rate, found = ASSUMED_SAVE_RATE, measure_effect(history, rows, in_parts=False)
    measured = found.overall.save_rate
    if measured and measured.low > 0:
        rate = round(min(1.0, measured.value), DECIMALS)
        interval = f"{format_percent(measured.low)} to {format_percent(measured.high)}"
        log.info("save rate: %s, as measured (95 %% interval %s)", format_percent(rate), interval)
    else:
        why = "no campaign has begun" if not found.campaigns else "too few have left to tell"
        if measured:
            why = f"the one measured may be none (at least {format_percent(measured.low)})"
        log.info("save rate: %s is assumed, as %s", format_percent(rate), why)
    return replace(config, policy=replace(config.policy, worth=replace(worth, save_rate=rate)))
