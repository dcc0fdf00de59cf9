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
from pipeline.config import Config
from pipeline.database import History, open_history
from pipeline.files import run_lock
from pipeline.heartbeat import heartbeat
from pipeline.standing import lacks_release, live_id, master_size, work_waits

# Most ticks find nothing to do, and are to cost next to nothing: a few modules of the standard
# library are all they import. All else is imported in the functions that have work for it.
if TYPE_CHECKING:
    import argparse

    import pandas as pd

    from ingestion import Ingestion
    from pipeline.history import Decision
    from pipeline.judging import Judgement
    from pipeline.ledger import PendingFile
    from pipeline.models import Model
    from pipeline.releases import Release
    from reporting import Report

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
    config: Config, say: cli.Say = cli.say, start_log: Callable[[], None] = lambda: None
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
            waits = work_waits(config, history)
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
    from pipeline.history import recorded_run

    start_log()
    return recorded_run(history, "fullprocess")


def work(config: Config, history: History, say: cli.Say) -> Tick:
    """Ingest, judge what no drift check has seen, report, and forget what is long past."""
    from deployment import settle
    from ingestion import ingest, told
    from pipeline import ledger
    from pipeline.drift import NO_DRIFT
    from pipeline.retention import prune

    settle(config, history)
    ingestion = ingest(config)
    say(told(config, ingestion))
    decision = reports = None
    if ledger.unjudged(history) or lacks_release(config, history):
        decision = judge(config, history)
        say([f"{decision.verdict}: {decision.reason}"])
    pending = ledger.unreported(history)
    if pending or decision:
        in_full = decision is None or decision.verdict != NO_DRIFT or bool(decision.gate)
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
    from pipeline import decisions, ledger
    from pipeline.driftrecords import record_drift
    from pipeline.history import record_decision

    batch = ledger.unjudged(history)
    judged = None
    if live_id(config.prod_deployment_path) is None:
        release = retrain_and_deploy(config)
        decision = decisions.first_release(batch, master_size(history)[0], release)
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
    from deployment import deploy
    from scoring import score
    from training import train

    train(config)
    score(config)
    return deploy(config)


def check(
    config: Config, history: History, batch: list[PendingFile]
) -> tuple[Decision, Judgement | None]:
    """Judge the live model on the rows it has not learned from; on drift, challenge it."""
    from dataclasses import replace

    from pipeline import decisions
    from pipeline.history import batch_scores, record_scores
    from pipeline.judging import judge_batch
    from pipeline.models import load_release
    from pipeline.releases import live_release
    from pipeline.store import open_store

    release = live_release(config.prod_deployment_path)
    model = load_release(release, config.schema)
    fresh = [file for file in batch if not decisions.learned(file, release.model)]
    if not fresh:
        return decisions.all_learned(batch, release), None
    rows = open_store(config, history).new_rows(fresh)
    judged = judge_batch(config, release, model, rows, batch_scores(history, release.id))
    if judged.scores:
        record_scores(history, release.model.sha256, "new rows", judged.scores)
    decision = decisions.judged(batch, len(rows), release, judged)
    if why := judged.why_retrain(config.policy.retrain_on):
        found = replace(decision, reason=why)
        return challenge(config, history, release, model, rows, found), judged
    return decision, judged


def challenge(
    config: Config,
    history: History,
    release: Release,
    champion: Model,
    new: pd.DataFrame,
    found: Decision,
) -> Decision:
    """Retrain on everything, compare on the same rows, and deploy what the gate lets pass."""
    from deployment import deploy
    from pipeline import decisions
    from pipeline.frames import read_folder
    from pipeline.gate import compare
    from pipeline.store import open_store
    from scoring import score
    from training import fit_without, train

    trained = train(config)
    score(config)
    if trained.manifest.sha256 == release.model.sha256:
        return decisions.same_model(found)
    # what stands in for the challenger is of its kind, without choosing anew
    policy = config.policy._replace(model=trained.manifest.recipe.kind)
    compared = compare(
        champion,
        trained.model,
        partial(fit_without, open_store(config, history), policy),
        gate=policy.gate,
        seed=policy.seed,
        schema=config.schema,
        test=read_folder(config.test_data_path, config.schema),
        new=new,
    )
    deployed = None
    if compared.deploy:
        deployed = deploy(config, decisions.challenge(compared, release, found.reason))
    return decisions.challenged(found, compared, deployed)


def report(config: Config, *, in_full: bool) -> Reports:
    """Write the reports; in full, ask the API and pip as well."""
    import diagnostics
    import reporting
    from pipeline.releases import read_release

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

    from apicalls import ApiError, call_api, check, default_file, write_answers

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
    from apicalls import release_served

    if config.api_url and release_served(config.api_url) == live_id(config.prod_deployment_path):
        yield config.api_url
        return
    from app import create_app
    from pipeline.loopback import serving

    with serving(create_app(config)) as url:
        yield url


def as_object(config: Config, done: Tick) -> dict[str, Any]:
    """What a run of the chain came to, for a program; null or empty is what there was not."""
    if not (done.ingestion and (done.ingestion.files or done.decision or done.reports)):
        told = {"files": [], "added": 0, "total_rows": done.total_rows}
        told |= {"path": config.finaldata_path, "rejected_rows": None}
        return {"outcome": NOTHING_NEW, **told, "decision": None, "reports": None}
    import ingestion
    from pipeline.decisions import decision_object

    return {
        "outcome": DONE,
        **ingestion.as_object(config, done.ingestion),
        "decision": decision_object(done.decision) if done.decision else None,
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
        from pipeline.status import status, status_lines, status_object

        now = status(config)
        cli.tell(config, args, status_object(now), status_lines(now))
        return
    done = tick(config, cli.sayer(args), partial(cli.set_up_logging, args.verbose))
    if args.json:
        cli.print_json(config, as_object(config, done))


if __name__ == "__main__":
    raise SystemExit(main())
