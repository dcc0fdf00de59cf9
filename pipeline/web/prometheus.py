"""The state of the system in the text form of Prometheus, read from the history at each scrape.

No process counts anything, so any number of workers answer the same.
"""

import math
from collections.abc import Iterator
from contextlib import nullcontext
from datetime import UTC, datetime

from prometheus_client import CollectorRegistry, Gauge, generate_latest

from pipeline.core.config import Config
from pipeline.monitoring.decisions import EXPECTED_SCORES
from pipeline.registry.releases import Release
from pipeline.reporting.status import Status, read_status
from pipeline.storage.database import History
from pipeline.storage.history import open_existing_history
from pipeline.storage.ledger import master_state
from pipeline.storage.records import last_checked, last_missing, last_timings
from pipeline.storage.trends import ExpectedScores, last_expected

# the name, what it is, its value; of some, the name of a label and a number for each of its values
Metric = tuple[str, str, float] | tuple[str, str, tuple[str, dict[str, float]]]
DRIFT_VALUES = {"drift": 1.0, "no drift": 0.0}


def metrics_text(config: Config) -> str:
    """All metrics there are now; raises `HistoryError` if the history cannot be read."""
    history = open_existing_history(config.history_path)
    with history or nullcontext():
        paths = config.input_folder_path, config.prod_deployment_path, config.lock_path
        now = read_status(*paths, history, config.schema, subfolders=config.subfolders)
        metrics = _state(now) + (_records(history) if history else [])
    registry = CollectorRegistry()
    for name, about, value in metrics:
        if isinstance(value, tuple):
            label, values = value
            gauge = Gauge(f"clientrisk_{name}", about, [label], registry=registry)
            for key, number in values.items():
                gauge.labels(key).set(number)
        else:
            Gauge(f"clientrisk_{name}", about, registry=registry).set(value)
    return generate_latest(registry).decode()


def _state(now: Status) -> list[Metric]:
    found: list[Metric] = []
    if isinstance(release := now.release, Release):
        found += [
            ("release", "The release that is live", ("release", {release.id: 1.0})),
            ("release_age_seconds", "Since it was deployed", _age(release.deployed_at)),
            ("f1", "F1 of the live release on the test data", release.f1),
            ("threshold", "Least risk it predicts to leave", release.model.recipe.threshold),
        ]
    if isinstance(now.new, tuple):
        found.append(("files_new", "Input files that no run has taken in", len(now.new)))
    found += [
        ("files_pending", "Files taken in, not judged or reported yet", len(now.pending)),
        ("files_rejected", "Input files refused as they are", len(now.rejected)),
        ("files_held", "Files held back as a broken feed", len(now.held)),
    ]
    if now.last_active:
        age = _age(now.last_active)
        found.append(("last_active_age_seconds", "Since a run looked for work", age))
    if last := now.last_run:
        outcomes = dict.fromkeys(("done", "failed", "unended"), 0.0)  # unended: at work, or killed
        outcomes[last.outcome or "unended"] = 1
        found += [
            ("last_run_age_seconds", "Since a run with work began", _age(last.started_at)),
            ("last_run", "How the last run with work ended", ("outcome", outcomes)),
        ]
    return found


def _records(history: History) -> list[Metric]:
    found: list[Metric] = [
        ("rows", "Rows of finaldata.csv", master_state(history).rows),
        ("missing_percent", "Percent missing, 0 to 100", ("column", last_missing(history))),
        ("stage_seconds", "Seconds of a stage's last real run", ("stage", last_timings(history))),
    ]
    if checked := last_checked(history):
        verdicts = {
            str(score.test): DRIFT_VALUES.get(score.verdict, math.nan) for score in checked.scores
        }
        about = "1 drift, 0 no drift, NaN not enough evidence, by drift test"
        found.append(("drift", about, ("test", verdicts)))
        for f1 in [s.numbers["new_f1"] for s in checked.scores if "new_f1" in s.numbers][:1]:
            found.append(("batch_f1", "F1 on the batch judged last", f1))
        drifted = sum(feature.verdict == "drift" for feature in checked.input)
        found.append(("input_drift_features", "Features whose input drifted in it", drifted))
        told = sum(feature.news == "told" for feature in checked.input)
        found.append(("input_drift_told", "Those of them that are new and change the risk", told))
    # the scores to expect of the last batch, and of the last rows with outcomes beside theirs
    for one in last_expected(history, 1, "expected_scores.labelled = 0"):
        found += _expected("batch_expected", "in the batch judged last, by score", one)
    for one in last_expected(history, 1, "true_f1 IS NOT NULL"):
        about = "on the last rows with known outcomes, by score"
        found += _expected("labelled_expected", about, one)
        found.append(("labelled_true", f"True scores {about}", _by_score(one, "true_{}")))
    return found


def _expected(name: str, about: str, one: ExpectedScores) -> Iterator[Metric]:
    for end, what in (("", "Expected"), ("_low", "Lower bound of"), ("_high", "Upper bound of")):
        yield f"{name}{end}", f"{what} scores {about}", _by_score(one, f"{{}}{end}")


def _by_score(one: ExpectedScores, field: str) -> tuple[str, dict[str, float]]:
    """The values of fields that are named after the scores; NaN where there is none."""
    values = {name: getattr(one, field.format(name)) for name in EXPECTED_SCORES}
    return "score", {name: math.nan if v is None else v for name, v in values.items()}


def _age(at: str) -> float:
    """Seconds since a time of ours, which is in UTC."""
    return (datetime.now(UTC) - datetime.fromisoformat(at)).total_seconds()
