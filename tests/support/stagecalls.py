"""Stages called in process on a config: each opens the history as its script would."""

import pandas as pd

from pipeline.core.config import Config
from pipeline.data.frames import read_folder
from pipeline.models.persistence import TrainedModel, load_trained
from pipeline.monitoring.decisions import Scores
from pipeline.monitoring.metrics import Evaluation, evaluate
from pipeline.observations.master import Master, open_master
from pipeline.registry.live_model import Live, load_live
from pipeline.registry.releases import Challenge, Release
from pipeline.stages import deployment, diagnostics, ingestion, reporting, training
from pipeline.storage.database import History
from pipeline.storage.history import open_history


def rows_of(config: Config, history: History) -> Master:
    return open_master(config.finaldata_path, config.schema, history)


def ingest(config: Config, *, rebuild: bool = False) -> ingestion.Ingestion:
    with open_history(config.history_path) as history:
        return ingestion.ingest(config, history, rebuild=rebuild)


def train(config: Config) -> TrainedModel:
    with open_history(config.history_path) as history:
        return training.train(config, history, rows_of(config, history))


def score(config: Config) -> Scores:
    trained = load_trained(config.output_model_path, config.schema)
    with open_history(config.history_path) as history:
        return training.score(config, history, trained, _test(config)).scores


def deploy(config: Config, challenge: Challenge | None = None) -> Release:
    trained = load_trained(config.output_model_path, config.schema)
    evaluation = evaluate(trained.model, _test(config), config.schema, 0)
    with open_history(config.history_path) as history:
        return deployment.deploy(config, history, trained, evaluation, challenge).release


def rollback(config: Config, release_id: str | None = None) -> Release:
    with open_history(config.history_path) as history:
        return deployment.rollback(config, history, release_id)


def evaluate_live(config: Config) -> Evaluation:
    return evaluate(live(config).model, _test(config), config.schema, 0)


def live(config: Config) -> Live:
    return load_live(config.prod_deployment_path, config.schema)


def report(config: Config, matrix_name: str = "confusionmatrix.png") -> reporting.Report:
    loaded, evaluation = live(config), evaluate_live(config)
    with open_history(config.history_path) as history:
        rows = rows_of(config, history)
        return reporting.report(config, history, loaded, evaluation, rows, matrix_name)


def record_diagnostics(config: Config) -> None:
    with open_history(config.history_path) as history:
        diagnostics.record(history, rows_of(config, history))


def model_predictions(config: Config, frame: pd.DataFrame) -> list[int]:
    return diagnostics.model_predictions(live(config), frame)


def dataframe_summary(config: Config) -> pd.DataFrame:
    with open_history(config.history_path) as history:
        return rows_of(config, history).summary()


def missing_data(config: Config) -> dict[str, float]:
    with open_history(config.history_path) as history:
        return rows_of(config, history).missing()


def _test(config: Config) -> pd.DataFrame:
    return read_folder(config.test_data_path, config.schema)
