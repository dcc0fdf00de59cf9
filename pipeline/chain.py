"""What a run of the chain does: ingest, judge what is new, challenge the live model, report.

Values travel between the steps: within one run the test data are parsed once, and a model is loaded
and asked about them once.
"""

import logging
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.action.alerts import forget as forget_alerts
from pipeline.core.config import Config
from pipeline.core.errors import ModelError
from pipeline.core.formatting import Printer
from pipeline.core.policy import DriftTest, Gate, Policy, enough_rows
from pipeline.data.frames import read_folder
from pipeline.data.input_files import PendingFile
from pipeline.data.outcomes import NO_DAY, matured
from pipeline.data.reference import Reference, reference_of
from pipeline.models.cross_validation import labelled_rows
from pipeline.models.estimators import risk_of
from pipeline.models.manifest import MODEL
from pipeline.models.persistence import OtherVersionError
from pipeline.models.training import RECENT_LEAVERS, fit_without, newest_holding
from pipeline.monitoring import gate, sentences
from pipeline.monitoring.batch_check import (
    Judgement,
    Known,
    age,
    all_learned,
    first_release,
    held_back,
    judge_batch,
    judged,
    learned,
    tell_news,
    why_due,
)
from pipeline.monitoring.decisions import Decision, Verdict, decision_to_dict
from pipeline.monitoring.metrics import Evaluation, PredictedRows, evaluate, predict_rows
from pipeline.monitoring.packages import known_packages
from pipeline.observations.master import Master
from pipeline.observations.rows import open_rows
from pipeline.pending import (
    lacks_release,
    means_otherwise,
    nothing_new,
    remember_scikit_learn,
    upgraded,
)
from pipeline.places import claim
from pipeline.registry.live_model import Live, load_live
from pipeline.registry.releases import CURRENT, live_id, live_release
from pipeline.stages import reporting
from pipeline.stages.deployment import deploy, recover_interrupted
from pipeline.stages.feeds import check_feeds
from pipeline.stages.ingestion import Ingestion, ingest, ingestion_lines, ingestion_to_dict
from pipeline.stages.reporting import Report
from pipeline.stages.training import (
    newest_date,
    rows_to_learn_from,
    score,
    train,
    with_save_rate,
)
from pipeline.stages.work_requests import carry_out
from pipeline.storage import ledger
from pipeline.storage.database import History
from pipeline.storage.records import (
    batch_scores,
    last_challenged,
    last_packages,
    oldest_kept,
    prune,
    record_decision,
    record_drift,
    record_expected,
    record_missing,
    record_packages,
    record_scores,
    recorded_run,
)

log = logging.getLogger("fullprocess")

ANSWERS = "apireturns2.txt"

MAX_RECENT_ROWS = 10_000  # of a recent batch: the profile of all would hardly differ


@dataclass(frozen=True)
class Reports(Report):
    """The reports, the live model and its F1 on the test data, and what the API answered."""

    f1: float
    model: Path
    api_returns: Path | None


@dataclass(frozen=True)
class Result:
    """What one run came to."""

    ingestion: Ingestion
    decision: Decision | None
    reports: Reports | None

    def to_dict(self, config: Config) -> dict[str, Any]:
        """The result for a program; null or empty is what there was not."""
        if not (self.ingestion.files or self.decision or self.reports):
            return nothing_new(config, self.ingestion.total_rows)
        return {
            "outcome": "done",
            **ingestion_to_dict(config, self.ingestion),
            "decision": decision_to_dict(self.decision) if self.decision else None,
            "reports": asdict(self.reports) if self.reports else None,
        }


def run(config: Config, history: History, print_lines: Printer) -> Result:
    """Do what was asked for, ingest, judge what is new, report, and forget what is long past.

    `print_lines` gets what was done as soon as it is. The run is recorded in the history.
    """
    with recorded_run(history, "fullprocess"):
        claim(config)
        recover_interrupted(config, history)
        if done := carry_out(config, history):
            print_lines(done)
        ingestion = ingest(config, history)
        print_lines(ingestion_lines(config, ingestion))
        chain = _Chain(config, history)
        decision = reports = None
        waits = ledger.unjudged(history) or lacks_release(config, history)
        tried = done or ledger.unreported(history) or upgraded(history)
        if waits or (tried and chain.unusable):
            decision = chain.judge()
            print_lines([f"{decision.verdict}: {decision.reason}"])
        pending = ledger.unreported(history)
        if pending or decision or (done and live_id(config.prod_deployment_path)):
            # what the API answers has changed with the release, or is still to be written
            ask = decision is None or bool(decision.new_release) or _answers_are_due(config)
            reports = chain.report(ask=ask)
            print_lines(report_lines(config, reports))
            with history.transaction():
                ledger.mark(history, pending, "reported")
        remember_scikit_learn(history)
        prune(history, oldest_kept(history, config.keep_history_days))
        if not config.alerts.targets:
            forget_alerts(history)
    return Result(ingestion, decision, reports)


class _Chain:
    """The steps after ingestion, and what they share."""

    def __init__(self, config: Config, history: History) -> None:
        self._config, self._history = config, history

    @cached_property
    def _test(self) -> pd.DataFrame:
        schema = self._config.schema
        newest = self._rows.newest_day if schema.derives else NO_DAY
        return read_folder(self._config.test_data_path, schema, newest)

    @cached_property
    def _rows(self) -> Master:
        config = self._config
        days = config.contact_rules.campaign_days
        return open_rows(config.finaldata_path, config.schema, self._history, days)

    @cached_property
    def _valued(self) -> Config:
        return with_save_rate(self._config, self._history, self._rows)

    @cached_property
    def _live(self) -> Live:
        """The live release; set anew when another goes live."""
        return load_live(self._config.prod_deployment_path, self._config.schema)

    @cached_property
    def unusable(self) -> OtherVersionError | None:
        """Why the live model, if there is one, cannot be used with the scikit-learn of now."""
        try:
            if live_id(self._config.prod_deployment_path):
                assert self._live
        except OtherVersionError as error:
            return error
        return None

    @cached_property
    def _evaluation(self) -> Evaluation:
        """How the live model does on the test data; set anew when another goes live."""
        seed = self._live.release.model.recipe.seed
        return evaluate(self._live.model, self._test, self._config.schema, seed)

    @property
    def _enough_rows(self) -> bool:
        outcomes = self._rows.learned[self._config.schema.outcome].dropna()
        return enough_rows(len(outcomes), int(outcomes.sum()))

    def judge(self) -> Decision:
        """Decide on the batch of all unjudged files, act on it and record it.

        The batch counts as judged only once all that is done: a run killed before leaves it to the
        next one.
        """
        history, found, feeds = self._history, None, None
        batch = ledger.unjudged(history)
        if live_id(self._config.prod_deployment_path) is None or means_otherwise(self._config):
            decision = self._first_release(batch)
        elif self.unusable:
            decision = self._first_release(batch, self.unusable)
        else:
            feeds = check_feeds(history, self._rows, batch, self._live, self._evaluation)
            self._rows = feeds.rows
            if feeds.batch:
                decision, found = self._check(list(feeds.batch))
            else:
                why = "; ".join(f"{file.name}: {feeds.held[file.id]}" for file in batch)
                decision = held_back(batch, self._live.release, why)
            if feeds.batch and feeds.lines:
                decision = replace(decision, reason="; ".join([*feeds.lines, decision.reason]))
        with history.transaction():
            decision_id = record_decision(history, decision)
            if found:
                record_drift(history, decision_id, found.by_score, found.by_input)
                record_expected(history, decision_id, found.expected)
            if feeds:
                feeds.record(history)
            ledger.mark(history, batch, "judged")
            held = decision.verdict == Verdict.HELD
            if not held and not (found and found.verdict.verdict == Verdict.NO_EVIDENCE):
                ledger.mark(history, ledger.unscored(history), "scored")
        return decision

    def _first_release(
        self, batch: list[PendingFile], unusable: OtherVersionError | None = None
    ) -> Decision:
        """Train on everything, score on the test data, and put that live.

        What is live is no champion: it answers another question, or cannot be asked any more. Then
        its F1 on the test data, as it was, may not lie above the interval of the new one.
        """
        trained = train(self._valued, self._history, self._rows, self._test)
        evaluation = score(self._config, self._history, trained, self._test)
        if unusable:
            log.warning("%s: a new one takes its place", unusable)
            former = live_release(self._config.prod_deployment_path)
            interval = evaluation.intervals["f1"]
            if interval and interval.high < former.f1:
                raise ModelError(
                    f"release {former.id} cannot be used with the scikit-learn of now, and a model"
                    f" trained anew is evidently worse: its F1 on the test data is at most"
                    f" {interval.high:.4f} (95 % interval), that of the release was"
                    f" {former.f1:.4f}: `python deployment.py` puts it live all the same"
                )
        self._live = deploy(self._config, self._history, trained, evaluation)
        self._evaluation = evaluation
        rows = ledger.master_state(self._history).rows
        labelled = int(self._rows.learned[self._config.schema.outcome].count())
        why = sentences.OTHER_VERSION if unusable else sentences.OTHER_MEANING
        return first_release(batch, rows, labelled, self._live.release, why)

    def _check(self, batch: list[PendingFile]) -> tuple[Decision, Judgement | None]:
        """Judge the live model on the rows it has not learned from; on drift, challenge it."""
        config, history, release = self._valued, self._history, self._live.release
        fresh = [file for file in batch if not learned(file, release.model)]
        if not fresh:
            return all_learned(batch, release), None
        new = self._predict(self._rows.brought_by(fresh))
        unscored = {*ledger.unscored(history), *fresh}  # what is accepted now is still held there
        waiting = sorted((f for f in unscored if not learned(f, release.model)), key=lambda f: f.id)
        known = self._known(waiting, new if waiting == fresh else None)
        policy = config.policy if self._enough_rows else config.policy.of_few_rows
        found = judge_batch(release, new, known, policy=policy, schema=config.schema)
        if found.drifted:
            schema = config.schema
            found = tell_news(found, new, self._recent(), self._live, policy=policy, schema=schema)
        if found.scores:
            record_scores(history, release.model.sha256, "new rows", found.scores)
        today = newest_date(self._rows, history)
        decision = judged(batch, len(new.frame), release, found, waiting)
        decision = replace(decision, data_until=today.isoformat())
        why = found.why_retrain(policy.retrain_on)
        if not why and policy.drift_test == DriftTest.RANKING:
            why = self._why_due(known, policy, today, decision.reason)
        if why:
            old = age(release.model, today) >= policy.retrain_after_days
            decision = self._challenge(known, replace(decision, reason=why), policy, old=old)
        return decision, found

    def _predict(self, rows: pd.DataFrame) -> PredictedRows:
        return predict_rows(self._live.model, rows, self._config.schema)

    def _weighed(self, rows: PredictedRows) -> PredictedRows:
        marked = self._rows.marked
        return rows.weighed(marked.times[rows.labelled.index]) if marked else rows

    def _known(self, waiting: list[PendingFile], predicted: PredictedRows | None) -> Known:
        """What is known of the rows of these files and of those before, none learned from."""
        history, release = self._history, self._live.release
        scored = ledger.scored_since(history, release.model.trained_at)
        earlier = [file for file in scored if not learned(file, release.model)]
        before = self._rows.brought_by([*earlier, *waiting], but=waiting)
        marked = self._rows.marked
        return Known(
            waiting=self._weighed(predicted or self._predict(self._rows.brought_by(waiting))),
            earlier=self._weighed(self._predict(labelled_rows(before, self._config.schema))),
            test=self._evaluation.tested,
            f1s=batch_scores(history, release.id),
            files=(*earlier, *waiting),
            contacted=bool(marked and marked.replaced.any()),
        )

    def _why_due(self, known: Known, policy: Policy, today: date, reason: str) -> str | None:
        """Why the live model is to be challenged whatever the verdict; None if it is not."""
        release, outcome = self._live.release, self._config.schema.outcome
        since, day = last_challenged(self._history, release.id)
        rows = self._rows.brought_by([file for file in known.files if file.id > since])
        left = int((rows[outcome] == 1).sum())
        return why_due(
            *(release.model, policy), today=today, challenged=day, leavers=left, reason=reason
        )

    def _recent(self) -> list[Reference]:
        """The profiles of the batches judged last, as the live model predicts them."""
        config, model, found = self._config, self._live.model, []
        for files in ledger.recent_batches(self._history):
            rows = self._rows.sample_of(files, MAX_RECENT_ROWS)
            if len(rows):  # contents that were replaced have none
                risk = risk_of(model, rows)
                found.append(reference_of(rows, risk, config.schema, config.policy.seed))
        return found

    def _challenge(self, known: Known, found: Decision, policy: Policy, *, old: bool) -> Decision:
        """Train anew, compare on the same rows, and deploy what the gate lets pass."""
        config, champion, on_test = self._valued, self._live.release, self._evaluation.tested
        history, rows, schema = self._history, self._rows, config.schema
        of = rows_to_learn_from(config, history, rows, challenge=self._enough_rows)
        trained = train(config, history, rows, self._test, of)
        evaluation = score(config, history, trained, self._test)
        if trained.manifest.sha256 == champion.model.sha256:
            return gate.same_model(found, champion)
        new = known.waiting
        if policy.gate in (Gate.EVIDENCE, Gate.MANUAL):
            new = self._newest(known)
        # what stands in for the challenger is of its kind, without choosing anew
        stand_in = replace(policy, model=trained.manifest.recipe.kind)
        compared = gate.compare(
            lambda clients: fit_without(
                rows.training_data(of.rows if of else None, without=clients), stand_in
            ),
            champion=on_test,
            challenger=evaluation.tested,
            new=new,
            gate=policy.gate,
            seed=policy.seed,
            schema=schema,
            worth=policy.worth if policy.threshold == "value" else None,
            old=old,
        )
        model = trained.manifest.sha256
        if not compared.deploy:
            return gate.challenged(found, champion, compared, None, model)
        won = gate.challenge(compared, champion, found.reason)
        self._live = deploy(config, history, trained, evaluation, won)
        self._evaluation = evaluation
        return gate.challenged(found, champion, compared, self._live.release, model)

    def _newest(self, known: Known) -> PredictedRows:
        """Of the rows that the live model has not learned from, the newest with known outcomes."""
        outcome, waiting = self._config.schema.outcome, known.waiting.frame
        rows = pd.concat([known.earlier.frame, labelled_rows(waiting, self._config.schema)])
        newest = rows.loc[self._rows.by_age(rows.index.to_numpy())]
        outcomes = newest[outcome].to_numpy("float64")
        outcomes = outcomes[: matured(outcomes, self._config.schema)]
        newest = newest[: len(outcomes)]
        newest = newest.iloc[newest_holding(outcomes, RECENT_LEAVERS) :]
        return self._weighed(self._predict(newest))

    def report(self, *, ask: bool) -> Reports:
        """Write the reports, and ask the API if that is to be done."""
        config, history = self._valued, self._history
        record_missing(history, self._rows.missing())  # the report shows them
        if ask:
            record_packages(history, known_packages(last_packages(history)))
        done = reporting.report(
            *(config, history, self._live, self._evaluation, self._rows),
            "confusionmatrix2.png",
            with_pdf=False,  # made when somebody asks for it
        )
        path = config.output_model_path / ANSWERS if ask else None
        if path:
            ask_api(config, path)
        model = config.prod_deployment_path / MODEL
        return Reports(**vars(done), f1=self._live.release.f1, model=model, api_returns=path)


def _answers_are_due(config: Config) -> bool:
    """Whether the API was not asked since a release went live: a run was killed in between."""
    answers, live = config.output_model_path / ANSWERS, config.prod_deployment_path / CURRENT
    return not answers.is_file() or answers.stat().st_mtime_ns < live.lstat().st_mtime_ns


def report_lines(config: Config, done: Reports) -> list[str]:
    """Where everything is, for a person."""
    live = f"the live model, release {done.release}, F1 {done.f1:.4f} on the test data"
    made = [
        (done.model, live),
        (config.finaldata_path, "all unique client rows"),
        (done.client_risk, done.ranked),
        (done.movers, done.moved),
        (done.confusion_matrix, "the live model on the test data"),
        *((path, "the report") for path in done.documents),
        *([(done.api_returns, "what the API answers")] if done.api_returns else []),
    ]
    width = max(len(config.shown(path)) for path, _ in made)
    return [f"{config.shown(path):<{width}}  {what}" for path, what in made]


def ask_api(config: Config, path: Path) -> None:
    """Make the API calls against a real server and keep the answers.

    It is the one at `api_url` if that serves our live release, else one of our own on a free port.
    What the API refuses (test data larger than it takes at a time, say) is logged and kept too; it
    does not undo a run that is otherwise done.
    """
    from pipeline.web import api_client as client  # with Flask, which a calm batch does without
    from pipeline.web.app import create_app

    production, url = config.prod_deployment_path, config.api_url
    with ExitStack() as stack:
        try:
            if url:
                client.prove(url, live_release(production))
        except client.ApiError as error:
            log.debug("%s", error)
            url = None
        url = url or stack.enter_context(client.serving(create_app(config)))
        answers = client.call_api(url, client.default_file(config.test_data_path), production)
    client.write_answers(answers, path)
    for answer in answers:
        try:
            client.check(answer)
        except client.ApiError as error:
            log.error("%s", error)
