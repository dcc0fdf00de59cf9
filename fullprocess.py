"""The chain that cron runs: take in what is new, check for drift, and only then retrain.

Nothing new: it says so and ends. Otherwise it ingests, scores the deployed model on the rows no
drift check has seen, compares them with the training data, and, where the config's drift test
finds drift, trains a challenger, which goes live only if the gate lets it pass: as a rule, if it
is at least as good on the same rows. Reports follow each judged batch.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline import cli
from pipeline.core.config import Config
from pipeline.heartbeat import heartbeat
from pipeline.pending import has_work, lacks_release
from pipeline.registry.releases import live_id
from pipeline.storage.database import History
from pipeline.storage.history import open_history, run_lock
from pipeline.storage.ledger import master_size

# Most ticks find nothing to do, and are to cost next to nothing: a few modules of the standard
# library are all they import. All else is imported in the functions that have work for it.
if TYPE_CHECKING:
    import argparse

    from pipeline.data.loader import PendingFile
    from pipeline.monitoring.batch_check import Judgement
    from pipeline.monitoring.decisions import Decision
    from pipeline.monitoring.metrics import PredictedRows
    from pipeline.registry.releases import Release
    from pipeline.stages.ingestion import Ingestion
    from pipeline.stages.reporting import Report

NOTHING_NEW, DONE = "nothing new", "done"


# Neither is a dataclass, nor a NamedTuple: an empty tick, too, would pay for making them.
class Reports:
    """The reports, the F1 of the live release on the test data, and what the API answered."""

    def __init__(self, report: Report, f1: float, api_returns: Path | None) -> None:
        self.report = report
        self.f1 = f1
        self.api_returns = api_returns


class Tick:
    """What one run of the chain came to; one that found nothing new has no ingestion."""

    def __init__(
        self,
        total_rows: int,  # of finaldata.csv, afterwards
        ingestion: Ingestion | None = None,
        decision: Decision | None = None,
        reports: Reports | None = None,
    ) -> None:
        self.total_rows = total_rows
        self.ingestion = ingestion
        self.decision = decision
        self.reports = reports


def tick(
    config: Config, say: cli.Printer = cli.print_lines, start_log: Callable[[], None] = lambda: None
) -> Tick:
    """One run of the chain; raises `LockHeldError` if another one is at work.

    `say` is told what is done as soon as it is. `start_log` is called before anything may be
    logged: an empty tick has nothing to log.
    """
    if config.heartbeat_url:
        start_log()
    with (
        run_lock(config.lock_path),
        heartbeat(config.heartbeat_url),
        open_history(config.history_path) as history,
    ):
        try:
            waits = has_work(config, history)
        except Exception:
            with _on_record(history, start_log):
                raise
        if not waits:
            say([f"{NOTHING_NEW} in {config.shown(config.input_folder_path)}"])
            return Tick(master_size(history)[0])
        with _on_record(history, start_log):
            return work(config, history, say)


def _on_record(history: History, start_log: Callable[[], None]) -> AbstractContextManager[None]:
    """A run that is recorded and logged; one that finds no work is neither."""
    from pipeline.storage.records import recorded_run

    start_log()
    return recorded_run(history, "fullprocess")


def work(config: Config, history: History, say: cli.Printer) -> Tick:
    """Ingest, judge what no drift check has seen, report, and forget what is long past."""
    from pipeline.monitoring.decisions import Verdict
    from pipeline.stages.deployment import settle
    from pipeline.stages.ingestion import ingest, told
    from pipeline.storage import ledger
    from pipeline.storage.retention import prune

    settle(config, history)
    ingestion = ingest(config)
    say(told(config, ingestion))
    decision = reports = None
    if ledger.unjudged(history) or lacks_release(config, history):
        decision = judge(config, history)
        say([f"{decision.verdict}: {decision.reason}"])
    pending = ledger.unreported(history)
    if pending or decision:
        in_full = decision is None or decision.verdict != Verdict.NO_DRIFT or bool(decision.gate)
        reports = report(config, in_full=in_full)
        say(report_lines(config, reports))
        with history.transaction():
            ledger.mark_reported(history, pending)
    prune(history, config.keep_history_days)
    return Tick(ingestion.total_rows, ingestion, decision, reports)


def judge(config: Config, history: History) -> Decision:
    """Decide on the batch of all unjudged files, act on it and record it.

    The batch counts as judged only once all that is done: a run killed before leaves it to the
    next one.
    """
    from pipeline.monitoring.batch_check import first_release
    from pipeline.storage import ledger
    from pipeline.storage.driftrecords import record_drift
    from pipeline.storage.records import record_decision

    batch = ledger.unjudged(history)
    judged = None
    if live_id(config.prod_deployment_path) is None:
        release = retrain_and_deploy(config)
        decision = first_release(batch, master_size(history)[0], release)
    else:
        decision, judged = check(config, history, batch)
    with history.transaction():
        decision_id = record_decision(history, decision)
        if judged:
            record_drift(history, decision_id, judged.by_score, judged.by_input)
        ledger.mark_judged(history, batch)
    return decision


def retrain_and_deploy(config: Config) -> Release:
    """Train on everything, score on the test data, and put that live."""
    from pipeline.stages.deployment import deploy
    from pipeline.stages.scoring import score
    from pipeline.stages.training import train

    train(config)
    score(config)
    return deploy(config)


def check(
    config: Config, history: History, batch: list[PendingFile]
) -> tuple[Decision, Judgement | None]:
    """Judge the live model on the rows it has not learned from; on drift, challenge it."""
    from dataclasses import replace

    from pipeline.data.frames import read_folder
    from pipeline.monitoring.batch_check import all_learned, judge_batch, judged, learned
    from pipeline.monitoring.metrics import predict_rows
    from pipeline.registry.live_model import load_release
    from pipeline.registry.releases import live_release
    from pipeline.storage.records import batch_scores, record_scores
    from pipeline.storage.rows import open_store

    release = live_release(config.prod_deployment_path)
    model = load_release(release, config.schema)
    fresh = [file for file in batch if not learned(file, release.model)]
    if not fresh:
        return all_learned(batch, release), None
    rows = open_store(config, history).new_rows(fresh)
    test_rows = read_folder(config.test_data_path, config.schema)
    new, test = (predict_rows(model, frame, config.schema) for frame in (rows, test_rows))
    found = judge_batch(
        release,
        new,
        test.tested,
        earlier=batch_scores(history, release.id),
        policy=config.policy,
        schema=config.schema,
    )
    if found.scores:
        record_scores(history, release.model.sha256, "new rows", found.scores)
    decision = judged(batch, len(rows), release, found)
    if why := found.why_retrain(config.policy.retrain_on):
        decision = challenge(config, history, release, test, new, replace(decision, reason=why))
    return decision, found


def challenge(
    config: Config,
    history: History,
    champion: Release,
    test: PredictedRows,
    new: PredictedRows,
    found: Decision,
) -> Decision:
    """Retrain on everything, compare on the same rows, and deploy what the gate lets pass."""
    from pipeline.models.training import fit_without
    from pipeline.monitoring import gate
    from pipeline.stages.deployment import deploy
    from pipeline.stages.scoring import score
    from pipeline.stages.training import train
    from pipeline.storage.rows import open_store

    trained = train(config)
    score(config)
    if trained.manifest.sha256 == champion.model.sha256:
        return gate.same_model(found, champion)
    # what stands in for the challenger is of its kind, without choosing anew
    policy = config.policy._replace(model=trained.manifest.recipe.kind)
    store = open_store(config, history)
    compared = gate.compare(
        trained.model,
        lambda clients: fit_without(store.training_data(without=clients), policy),
        test=test,
        new=new,
        gate=policy.gate,
        seed=policy.seed,
        schema=config.schema,
    )
    deployed = None
    if compared.deploy:
        deployed = deploy(config, gate.challenge(compared, champion, found.reason))
    return gate.challenged(found, champion, compared, deployed)


def report(config: Config, *, in_full: bool) -> Reports:
    """Write the reports; in full, ask the API and pip as well."""
    from pipeline.registry.releases import read_release
    from pipeline.stages import diagnostics, reporting

    diagnostics.record(config, packages=in_full)  # the report tells them
    done = reporting.report(config, "confusionmatrix2.png")
    path = config.output_model_path / "apireturns2.txt" if in_full else None
    if path:
        ask_api(config, path)
    return Reports(done, read_release(config.prod_deployment_path, done.release).f1, path)


def report_lines(config: Config, reports: Reports) -> list[str]:
    """Where everything lies, for a person."""
    done = reports.report
    made = [
        (
            _live_model(config),
            f"the live model, release {done.release}, F1 {reports.f1:.4f} on the test data",
        ),
        (config.finaldata_path, "all unique client rows"),
        (done.client_risk, f"{done.clients:,} clients, highest risk first"),
        (done.movers, done.moved),
        (done.confusion_matrix, "the live model on the test data"),
        *((path, "how it all stands, for people") for path in done.documents),
    ]
    if reports.api_returns:
        made.append((reports.api_returns, "what the API answers"))
    width = max(len(config.shown(path)) for path, _ in made)
    return [f"{config.shown(path):<{width}}  {what}" for path, what in made]


def ask_api(config: Config, path: Path) -> None:
    """Make the API calls against a real server and keep the answers.

    What the API refuses (test data larger than it takes at a time, say) is logged and kept too; it
    does not undo a run that is otherwise done.
    """
    import logging

    from pipeline.web.api_client import ApiError, call_api, check, default_file, write_answers

    with api_server(config) as url:
        answers = call_api(url, default_file(config))
    write_answers(answers, path)
    for answer in answers:
        try:
            check(answer)
        except ApiError as error:
            logging.getLogger("fullprocess").error("%s", error)


@contextmanager
def api_server(config: Config) -> Iterator[str]:
    """The URL of the server at `api_url` if it serves our live release, else of one of our own.

    That one listens on a free loopback port for as long as the context lasts.
    """
    from pipeline.web.api_client import release_served

    if config.api_url and release_served(config.api_url) == live_id(config.prod_deployment_path):
        yield config.api_url
        return
    from pipeline.web.app import create_app
    from pipeline.web.local_server import serving

    with serving(create_app(config)) as url:
        yield url


def as_object(config: Config, done: Tick) -> dict[str, Any]:
    """What a run of the chain came to, for a program; null or empty is what there was not."""
    if not (done.ingestion and (done.ingestion.files or done.decision or done.reports)):
        told = {"files": [], "added": 0, "total_rows": done.total_rows}
        told |= {"path": config.finaldata_path, "rejected_rows": None}
        return {"outcome": NOTHING_NEW, **told, "decision": None, "reports": None}
    from pipeline.monitoring.decisions import decision_to_dict
    from pipeline.stages import ingestion

    return {
        "outcome": DONE,
        **ingestion.as_object(config, done.ingestion),
        "decision": decision_to_dict(done.decision) if done.decision else None,
        "reports": _reports_object(config, done.reports) if done.reports else None,
    }


def _reports_object(config: Config, reports: Reports) -> dict[str, Any]:
    from dataclasses import asdict

    return {
        **asdict(reports.report),
        "f1": reports.f1,
        "model": _live_model(config),
        "api_returns": reports.api_returns,
    }


def _live_model(config: Config) -> Path:
    return config.prod_deployment_path / "trainedmodel.pkl"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the chain from the command line."""
    argv = sys.argv[1:] if argv is None else argv
    args = cli.plain_arguments(argv, "status") or parser().parse_args(argv)
    return cli.run(command, args, log_at_once=args.verbose)


def parser() -> argparse.ArgumentParser:
    """The parser of what is not plain."""
    made = cli.result_parser(__doc__)
    made.add_argument(
        "--status", action="store_true", help="show what is live, what ran last and what waits"
    )
    return made


def command(config: Config, args: Any) -> None:
    """Run the chain, or show how it stands."""
    if args.status:
        from pipeline.reporting.status import status, status_lines, status_object

        now = status(config)
        cli.print_result(config, args, status_object(now), status_lines(now))
        return
    done = tick(config, cli.printer_for(args), partial(cli.set_up_logging, args.verbose))
    if args.json:
        cli.print_json(config, as_object(config, done))


if __name__ == "__main__":
    raise SystemExit(main())
