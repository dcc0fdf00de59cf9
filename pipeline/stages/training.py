"""Fit on the labelled rows of finaldata.csv, and save the model."""

import logging
from time import perf_counter

from pipeline.core.config import Config
from pipeline.models.persistence import TrainedModel, save_model
from pipeline.models.training import fit
from pipeline.observations.master import Master
from pipeline.storage.database import History
from pipeline.storage.ledger import last_file
from pipeline.storage.records import record_timing

log = logging.getLogger("training")


def train(config: Config, history: History, rows: Master) -> TrainedModel:
    """Fit on all labelled rows and save the model; raises `ModelError` if that cannot be done."""
    started = perf_counter()
    data = rows.training_data()
    fitted = fit(data, config.policy)
    trained = save_model(
        fitted.model,
        config.output_model_path,
        data=data,
        risk=fitted.risk,
        recipe=fitted.recipe,
        last_file=last_file(history),
    )
    seconds = perf_counter() - started
    record_timing(history, "training", seconds, data.rows)
    log.info("trained on %s labelled rows in %.2f s", f"{data.rows:,}", seconds)
    if since := fitted.recipe.chosen_since:
        log.info("chosen on rows from %s on, by models of older ones", since)
    elif config.schema.date:
        log.info("too few dates, or clients of one outcome, to choose by time")
    return trained
