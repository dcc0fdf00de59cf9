"""Fit on the labelled rows of finaldata.csv and save the model; score it on the test data."""

import logging
from dataclasses import replace
from datetime import date, timedelta
from time import perf_counter

import numpy as np
import pandas as pd

from pipeline.action.effect import measure_effect
from pipeline.core.config import Config
from pipeline.core.files import write_atomic
from pipeline.core.formatting import format_percent
from pipeline.core.policy import ASSUMED_SAVE_RATE
from pipeline.data.outcomes import NO_DAY
from pipeline.models.persistence import TrainedModel, save_model
from pipeline.models.training import Learned, choose_rows, fit
from pipeline.monitoring.decisions import SCORE_NAMES, Scores
from pipeline.monitoring.metrics import Evaluation, check_f1_defined, check_outcomes_known, evaluate
from pipeline.monitoring.sentences import contact_lines
from pipeline.monitoring.training_checks import training_warnings
from pipeline.observations.master import Master
from pipeline.storage.database import History
from pipeline.storage.ledger import file_days, last_file
from pipeline.storage.records import record_scores, record_timing

log = logging.getLogger("training")

RATE_DECIMALS = 4  # of a measured save rate, which a model card repeats


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
        rate = round(min(1.0, measured.value), RATE_DECIMALS)
        interval = f"{format_percent(measured.low)} to {format_percent(measured.high)}"
        log.info("save rate: %s, as measured (95 %% interval %s)", format_percent(rate), interval)
    else:
        why = "no campaign has begun" if not found.campaigns else "too few have left to tell"
        if measured:
            why = f"the one measured may be none (at least {format_percent(measured.low)})"
        log.info("save rate: %s is assumed, as %s", format_percent(rate), why)
    return replace(config, policy=replace(config.policy, worth=replace(worth, save_rate=rate)))


def rows_to_learn_from(
    config: Config, history: History, rows: Master, *, challenge: bool = False
) -> Learned | None:
    """The labelled rows that the config says to learn from; None: all of them.

    With "auto" they are chosen for a challenge; whatever else is trained learns from all.
    """
    policy = config.policy
    if policy.learn_from == "all" or (policy.learn_from == "auto" and not challenge):
        return None
    labelled, outcomes = rows.labelled()
    if policy.learn_from == "auto":
        return choose_rows(labelled, outcomes, rows.training_data, policy)
    count, what = policy.learn_from.split()
    if what == "rows":
        newest = np.arange(len(labelled)) >= len(labelled) - int(count)
    else:
        days = rows.days(labelled, file_days(history))
        newest = days > days.max(initial=0) - int(count)
    if len(set(outcomes[newest])) < len(set(outcomes)):
        log.warning(
            "the newest %s have one outcome only: all rows are learned from", policy.learn_from
        )
        return None
    return Learned(labelled[newest], recent=True)


def newest_date(rows: Master, history: History) -> date:
    """The newest day of the data, by dates or else by files' time stamps."""
    day = rows.newest_day if rows.schema.date else NO_DAY
    if day == NO_DAY:
        day = max(file_days(history).values(), default=0)
    return date(1970, 1, 1) + timedelta(day)


def train(
    config: Config,
    history: History,
    rows: Master,
    test: pd.DataFrame | None = None,
    learned: Learned | None = None,
) -> TrainedModel:
    """Fit on labelled rows, by default all that the config says, and save the model.

    What it warns of is logged, and kept in the manifest. `test` are the test data, if there are.
    Raises `ModelError` if it cannot be done.
    """
    started, config = perf_counter(), with_save_rate(config, history, rows)
    learned = learned or rows_to_learn_from(config, history, rows)
    data = rows.training_data(learned.rows if learned else None)
    fitted = fit(data, config.policy)
    recipe = fitted.recipe
    if learned:
        evidence = recipe.evidence | learned.evidence
        recipe = replace(recipe, recent=learned.recent, evidence=evidence)
    warned = training_warnings(data, fitted, test)
    contacts = tuple(contact_lines(*rows.contacted))
    trained = save_model(
        fitted.model,
        config.output_model_path,
        data=data,
        risk=fitted.risk,
        recipe=recipe,
        last_file=last_file(history),
        data_until=newest_date(rows, history).isoformat(),
        warned=warned,
        drawn_from=rows.drawn_from,
        contacts=contacts,
    )
    seconds = perf_counter() - started
    record_timing(history, "training", seconds, data.rows)
    which = "the newest " if recipe.recent else ""
    log.info("trained on %s%s labelled rows in %.2f s", which, f"{data.rows:,}", seconds)
    if rows.drawn_from:
        log.info(
            "these are of the sample of %s of %s rows, by client, which is also judged on",
            *(f"{len(rows.frame):,}", f"{rows.drawn_from:,}"),
        )
    for text in contacts:
        log.info("%s", text)
    if since := recipe.chosen_since:
        log.info("chosen on rows from %s on, by models of older ones", since)
    elif config.schema.date:
        log.info("too few dates, or clients of one outcome, to choose by time")
    for text in warned:
        log.warning("%s", text)
    return trained


def score(
    config: Config, history: History, trained: TrainedModel, test: pd.DataFrame
) -> Evaluation:
    """Score a trained model on the test data, write latestscore.txt and record it all.

    Raises `DataError` if the test data leave the F1 undefined.
    """
    check_outcomes_known(config.test_data_path, test, config.schema)
    evaluation = evaluate(trained.model, test, config.schema, trained.manifest.recipe.seed)
    scores = evaluation.scores
    check_f1_defined(config.test_data_path, scores)
    record_scores(history, trained.manifest.sha256, "test data", scores)
    write_atomic(config.latestscore_path, f"{scores.f1}\n")
    log.info("F1 %.4f on %s rows of test data", scores.f1, f"{scores.rows:,}")
    return evaluation


def score_lines(scores: Scores) -> list[str]:
    """The scores as an aligned table, a line each."""
    values = {label: getattr(scores, key) for key, label in SCORE_NAMES.items()}
    return [
        f"{label:<18} {'undefined' if value is None else format(value, '9.4f')}"
        for label, value in values.items()
    ]
