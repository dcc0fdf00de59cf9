"""The state of the system in the text form of Prometheus, read from the history at each scrape.

No process counts anything, so any number of workers answer the same.
"""

from collections.abc import Iterator
from contextlib import nullcontext
from datetime import UTC, datetime

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from pipeline.core.config import Config
from pipeline.registry.releases import Release
from pipeline.reporting.status import Status, read_status
from pipeline.storage.database import History
from pipeline.storage.history import open_existing_history
from pipeline.storage.ledger import master_state
from pipeline.storage.records import last_checked, last_missing, last_timings

PREFIX = "clientrisk"


def metrics_text(config: Config) -> str:
    """All metrics there are now; raises `HistoryError` if the history cannot be read."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(config))
    return generate_latest(registry).decode()


class _Collector(Collector):
    def __init__(self, config: Config) -> None:
        self._config = config

    def collect(self) -> Iterator[Metric]:
        """Every metric, as of now."""
        config = self._config
        history = open_existing_history(config.history_path)
        with history or nullcontext():
            now = read_status(
                config.input_folder_path, config.prod_deployment_path, config.lock_path, history
            )
            if isinstance(now.release, Release):
                yield from _release(now.release)
            yield from _files(now)
            yield from _last_run(now)
            if history:
                yield from _records(history)


def _release(release: Release) -> Iterator[Metric]:
    yield _labelled("release", "The release that is live", "release", {release.id: 1})
    yield _gauge("release_age_seconds", "Since it was deployed", _age(release.deployed_at))
    yield _gauge("f1", "F1 of the live release on the test data", release.f1)
    yield _gauge("threshold", "Least risk it predicts to leave", release.model.recipe.threshold)


def _files(now: Status) -> Iterator[Metric]:
    if isinstance(now.new, tuple):
        yield _gauge("files_new", "Input files that no run has taken in", len(now.new))
    yield _gauge("files_pending", "Files taken in, not judged or reported yet", len(now.pending))
    yield _gauge("files_rejected", "Input files refused as they are", len(now.rejected))


def _last_run(now: Status) -> Iterator[Metric]:
    if now.last_active:
        age = _age(now.last_active)
        yield _gauge("last_active_age_seconds", "Since a run looked for work", age)
    if not now.last_run:
        return
    age = _age(now.last_run.started_at)
    yield _gauge("last_run_age_seconds", "Since a run with work began", age)
    outcomes = dict.fromkeys(("done", "failed", "unended"), 0.0)  # unended: at work, or killed
    outcomes[now.last_run.outcome or "unended"] = 1
    yield _labelled("last_run", "How the last run with work ended", "outcome", outcomes)


def _records(history: History) -> Iterator[Metric]:
    yield _gauge("rows", "Rows of finaldata.csv", master_state(history).rows)
    yield _labelled("missing_percent", "Percent missing, 0 to 100", "column", last_missing(history))
    yield _labelled(
        "stage_seconds", "Seconds of a stage's last real run", "stage", last_timings(history)
    )
    if checked := last_checked(history):
        verdicts = {str(verdict.test): _drift_value(verdict.verdict) for verdict in checked.scores}
        about = "1 drift, 0 no drift, NaN not enough evidence, by drift test"
        yield _labelled("drift", about, "test", verdicts)
        counted = [verdict.numbers for verdict in checked.scores if "new_f1" in verdict.numbers]
        if counted:
            yield _gauge("batch_f1", "F1 on the batch judged last", counted[0]["new_f1"])
        drifted = sum(found.verdict == "drift" for found in checked.input)
        yield _gauge("input_drift_features", "Features whose input drifted in it", drifted)


def _drift_value(verdict: str) -> float:
    return {"drift": 1.0, "no drift": 0.0}.get(verdict, float("nan"))


def _gauge(name: str, about: str, value: float) -> Metric:
    return GaugeMetricFamily(f"{PREFIX}_{name}", about, value=value)


def _labelled(name: str, about: str, label: str, values: dict[str, float]) -> Metric:
    family = GaugeMetricFamily(f"{PREFIX}_{name}", about, labels=[label])
    for key, value in values.items():
        family.add_metric([key], value)
    return family


def _age(at: str) -> float:
    """Seconds since a time of ours, which is in UTC."""
    return (datetime.now(UTC) - datetime.fromisoformat(at)).total_seconds()
