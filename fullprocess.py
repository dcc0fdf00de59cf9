"""The chain that cron runs: take in what is new, check for drift, and only then retrain.

Nothing new: it says so and ends. Otherwise it ingests, scores the deployed model on the rows no
drift check has seen, compares them with the training data, and, where the config's drift test
finds drift, trains a challenger, which goes live only if the gate lets it pass: as a rule, if it
is at least as good on the same rows. Reports follow each judged batch.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline import cli
from pipeline.config import Config
from pipeline.database import History
from pipeline.files import run_lock
from pipeline.heartbeat import heartbeat
from pipeline.inbox import new_in
from pipeline.standing import live_id, master_size, rebuilding, reports_wait, unsettled_since

# Most ticks find nothing to do, and are to cost next to nothing: a few modules of the standard
# library are all they import. All else is imported in the functions that have work for it.
if TYPE_CHECKING:
    import argparse

    import pandas as pd

    from pipeline.gate import Comparison
    from pipeline.history import Decision
    from pipeline.judging import Judgement
    from pipeline.ledger import PendingFile
    from pipeline.models import Model
    from pipeline.releases import Challenge, Release

NOTHING_DEPLOYED = "nothing deployed"
DEPLOYED, KEPT = "deployed", "kept"


def tick(config: Config, start_log: Callable[[], None] = lambda: None) -> None:
    """One run of the chain; raises `LockHeldError` if another one is at work.

    `start_log` is called before anything may be logged: an empty tick has nothing to log.
    """
    if config.heartbeat_url:
        start_log()
    with (
        run_lock(config.lock_path),
        heartbeat(config.heartbeat_url),
        History(config.history_path) as history,
    ):
        try:
            waits = work_waits(config, history)
        except Exception:
            with _on_record(history, start_log):
                raise
        if not waits:
            print(f"nothing new in {config.shown(config.input_folder_path)}")
            return
        with _on_record(history, start_log):
            work(config, history)


def _on_record(history: History, start_log: Callable[[], None]) -> AbstractContextManager[None]:
    """A run that is recorded and logged; one that finds no work is neither."""
    from pipeline.history import recorded_run

    start_log()
    return recorded_run(history, "fullprocess")


def work_waits(config: Config, history: History) -> bool:
    """Whether there is anything to do; the standard library is enough to tell."""
    if rebuilding(history):
        return True
    if (size := master_size(history)[1]) and not _holds(config.finaldata_path, size):
        from pipeline.master import check_size

        check_size(config.finaldata_path, size)  # it says what is wrong
    if new_in(config.input_folder_path, history) or reports_wait(history):
        return True
    return _lacks_release(config, history) or unsettled_since(history) is not None


def _holds(path: Path, size: int) -> bool:
    return path.is_file() and path.stat().st_size >= size


def _lacks_release(config: Config, history: History) -> bool:
    rows, _ = master_size(history)
    return rows > 0 and live_id(config.prod_deployment_path) is None


def work(config: Config, history: History) -> None:
    """Ingest, judge what no drift check has seen, report, and forget what is long past."""
    from deployment import settle
    from ingestion import ingest, told
    from pipeline import ledger
    from pipeline.drift import NO_DRIFT
    from pipeline.retention import prune

    settle(config, history)
    print("\n".join(told(config, ingest(config))))
    decision = None
    if ledger.unjudged(history) or _lacks_release(config, history):
        decision = judge(config, history)
        print(f"{decision.verdict}: {decision.reason}")
    pending = ledger.unreported(history)
    if pending or decision:
        report(
            config, in_full=decision is None or decision.verdict != NO_DRIFT or bool(decision.gate)
        )
        with history.transaction():
            ledger.mark_reported(history, pending)
    prune(history, config.keep_history_days)


def judge(config: Config, history: History) -> Decision:
    """Decide on the batch of all unjudged files, act on it and record it.

    The batch counts as judged only once all that is done: a run killed before leaves it to the
    next one.
    """
    from pipeline import ledger
    from pipeline.driftrecords import record_drift
    from pipeline.history import record_decision

    batch = ledger.unjudged(history)
    judged = None
    if live_id(config.prod_deployment_path) is None:
        decision = first_release(config, history, batch)
    else:
        decision, judged = check(config, history, batch)
    with history.transaction():
        decision_id = record_decision(history, decision)
        if judged:
            record_drift(history, decision_id, judged.by_score, judged.by_input)
        ledger.mark_judged(history, batch)
    return decision


def first_release(config: Config, history: History, batch: list[PendingFile]) -> Decision:
    """Train, score and deploy where nothing is live yet."""
    from pipeline.history import Decision

    release = retrain_and_deploy(config)
    return Decision(
        files=_names(batch),
        rows=master_size(history)[0],
        labelled=release.model.rows,
        release=None,
        deployed_f1=None,
        new_f1=None,
        verdict=NOTHING_DEPLOYED,
        action=DEPLOYED,
        reason=f"trained on {release.model.rows:,} rows and deployed {release.id}",
        new_release=release.id,
    )


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

    from pipeline.drift import NO_EVIDENCE
    from pipeline.history import Decision, batch_scores, record_scores
    from pipeline.judging import judge_batch
    from pipeline.master import read_spans
    from pipeline.models import load_release
    from pipeline.releases import live_release

    release = live_release(config.prod_deployment_path)
    model = load_release(release, config.schema)
    fresh = [file for file in batch if not _learned(file, release)]
    rows = read_spans(config, [file.span for file in fresh])
    decision = Decision(
        files=_names(batch),
        rows=len(rows),
        labelled=0,
        release=release.id,
        deployed_f1=release.f1,
        new_f1=None,
        verdict=NO_EVIDENCE,
        action=KEPT,
        reason=f"release {release.id} was trained on these files already",
    )
    if not fresh:
        return decision, None
    judged = judge_batch(config, release, model, rows, batch_scores(history, release.id))
    if judged.scores:
        record_scores(history, release.model.sha256, "new rows", judged.scores)
    decision = replace(
        decision,
        labelled=judged.labelled,
        new_f1=judged.scores.f1 if judged.scores else None,
        verdict=judged.verdict.verdict,
        reason=judged.verdict.reason,
        drift_test=judged.verdict.test,
    )
    if why := judged.why_retrain(config.policy.retrain_on):
        return challenge(
            config, history, release, model, rows, replace(decision, reason=why)
        ), judged
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
    from dataclasses import replace

    from deployment import deploy
    from pipeline.frames import read_folder
    from pipeline.gate import compare
    from pipeline.master import read_master
    from scoring import score
    from training import train, train_model

    trained = train(config)
    score(config)
    if trained.manifest.sha256 == release.model.sha256:
        same = f"{found.reason}; what there is to learn from gives the same model: {release.id}"
        return replace(found, reason=f"{same} stays live")
    # what stands in for the challenger is of its kind, without choosing anew
    policy = config.policy._replace(model=trained.manifest.recipe.kind)
    compared = compare(
        champion,
        trained.model,
        partial(train_model, policy=policy),
        gate=policy.gate,
        seed=policy.seed,
        schema=config.schema,
        test=read_folder(config.test_data_path, config.schema),
        new=new,
        everything=read_master(config, history),
    )
    deployed = (
        deploy(config, _challenge(compared, release, found.reason)) if compared.deploy else None
    )
    outcome = f"deployed {deployed.id}" if deployed else f"{release.id} stays live"
    return replace(
        found,
        action=DEPLOYED if deployed else KEPT,
        reason=f"{found.reason}; {compared.reason}: {outcome}",
        champion_f1=compared.champion_f1,
        challenger_f1=compared.challenger_f1,
        new_release=deployed.id if deployed else None,
        gate=compared.gate,
        difference_low=compared.difference.low,
        difference_high=compared.difference.high,
    )


def _challenge(compared: Comparison, champion: Release, why: str) -> Challenge:
    """Why a comparison was made and what it was, as the manifest of the release tells that won."""
    from pipeline.releases import Challenge

    return Challenge(
        gate=compared.gate,
        champion=champion.id,
        rows=compared.rows,
        champion_f1=compared.champion_f1,
        challenger_f1=compared.challenger_f1,
        low=compared.difference.low,
        high=compared.difference.high,
        reason=f"{why}; {compared.reason}",
    )


def _learned(file: PendingFile, release: Release) -> bool:
    """Whether the live model was trained on this file: then it proves nothing about it.

    So it is after a run that was killed between deploying and recording it, and after training
    and deploying by hand. Both signs are asked for, since a history begun anew counts from 1.
    """
    learned = release.model
    return file.id <= learned.last_file and file.recorded_at <= learned.trained_at


def _names(batch: list[PendingFile]) -> str:
    return json.dumps(list(dict.fromkeys(file.name for file in batch)), ensure_ascii=False)


def report(config: Config, *, in_full: bool) -> None:
    """Write the reports and tell where everything lies; in full, ask the API and pip as well."""
    import diagnostics
    import reporting
    from pipeline.releases import live_release

    done = reporting.report(config, "confusionmatrix2.png")
    diagnostics.record(config, packages=in_full)
    release = live_release(config.prod_deployment_path)
    made = [
        (
            config.prod_deployment_path / "trainedmodel.pkl",
            f"the live model, release {release.id}, F1 {release.f1:.4f} on the test data",
        ),
        (config.finaldata_path, "all unique client rows"),
        (done.client_risk, f"{done.clients:,} clients, highest risk first"),
        (done.movers, done.moved),
        (done.confusion_matrix, "the live model on the test data"),
    ]
    if in_full:
        path = config.output_model_path / "apireturns2.txt"
        ask_api(config, path)
        made.append((path, "what the API answers"))
    width = max(len(config.shown(path)) for path, _ in made)
    for path, what in made:
        print(f"{config.shown(path):<{width}}  {what}")


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
    import logging
    from threading import Thread

    from apicalls import release_served

    if config.api_url and release_served(config.api_url) == live_id(config.prod_deployment_path):
        yield config.api_url
        return
    from werkzeug.serving import make_server

    from app import create_app

    logging.getLogger("werkzeug").setLevel(logging.WARNING)  # no line for each request
    server = make_server("127.0.0.1", 0, create_app(config), threaded=True)
    # the time between its looks for the end; the default of half a second would be waited for
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def main(argv: Sequence[str] | None = None) -> int:
    """Run the chain from the command line."""
    argv = sys.argv[1:] if argv is None else argv
    args = cli.plain_arguments(argv, "status") or parser().parse_args(argv)
    return cli.run(command, args, log_at_once=args.verbose)


def parser() -> argparse.ArgumentParser:
    """The parser of what is not plain."""
    made = cli.stage_parser(__doc__)
    made.add_argument(
        "--status", action="store_true", help="show what is live, what ran last and what waits"
    )
    return made


def command(config: Config, args: Any) -> None:
    """Run the chain, or show how it stands."""
    if args.status:
        from pipeline.status import status_lines

        print("\n".join(status_lines(config)))
    else:
        tick(config, partial(cli.set_up_logging, args.verbose))


if __name__ == "__main__":
    raise SystemExit(main())
