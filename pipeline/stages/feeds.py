"""Hold back what looks like a broken feed, and accept what has looked the same for long."""

import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace

import msgspec
import numpy as np
import pandas as pd

from pipeline.data.input_files import PendingFile
from pipeline.data.outcomes import NO_DAY, days_of
from pipeline.models.estimators import predictions_of, risk_of
from pipeline.monitoring import feed_check, sentences
from pipeline.monitoring.feed_check import Compared, Feed, Finding, Risks
from pipeline.monitoring.metrics import Evaluation, predict_rows
from pipeline.observations.master import Master
from pipeline.observations.rules import content_of
from pipeline.registry.live_model import Live
from pipeline.storage import held_files, ledger
from pipeline.storage.database import History

log = logging.getLogger("fullprocess")


@dataclass(frozen=True)
class Feeds:
    """What the check of a batch came to.

    `rows` are those that count by it, `batch` the files to be judged: without those held back, with
    those accepted. `found` and `held` are by the numbers of contents: what the check saw, and why
    they are held back. `lines` say what was held back or accepted.
    """

    rows: Master
    batch: tuple[PendingFile, ...]
    found: dict[int, Feed]
    held: dict[int, str]
    accepted: tuple[PendingFile, ...]
    lines: tuple[str, ...]

    def record(self, history: History) -> None:
        """Record it, within the transaction that marks the batch as judged."""
        found = {number: json.dumps(asdict(feed)) for number, feed in self.found.items()}
        held_files.record_feeds(history, found, self.held, self.accepted)


def check_feeds(
    history: History, rows: Master, batch: Sequence[PendingFile], live: Live, on_test: Evaluation
) -> Feeds:
    """Check each file of a batch beside what counted before it, in their order.

    A file that somebody has accepted is not checked. `on_test` is how the live model does on the
    test data.
    """
    by_hand = held_files.accepted_contents(history)
    records = held_files.feed_records(history)
    files = [each.file for each in records]
    former = [(msgspec.json.decode(each.feed, type=Feed), each.held) for each in records]
    held = set(held_files.held_contents(history))
    found: dict[int, Feed] = {}
    reasons: dict[int, str] = {}
    accepted: list[PendingFile] = []
    lines = []

    def counting(left_out: set[int]) -> Master:
        if left_out == rows.left_out.contents:
            return rows
        return rows.without(held_files.left_out(history, left_out))

    to_check = [file for file in batch if file.id not in by_hand]
    for at, file in enumerate(to_check):
        later = {other.id for other in to_check[at + 1 :]}
        before, now = counting(held | later | {file.id}), counting(held | later)
        day = ledger.day_of(history, file.id)
        feed = found[file.id] = _checked(file, before, now, held, live, on_test, day)
        if feed.findings:
            same = feed_check.accepted_with(feed, former)
            if same:
                lines.append(
                    _accepted_line([*((files[i], former[i][0]) for i in same), (file, feed)])
                )
                # they count as if they had been taken in with this file
                accepted += [replace(files[i], recorded_at=file.recorded_at) for i in same]
                held -= {files[i].id for i in same}
                former = [(each, files[i].id in held) for i, (each, _) in enumerate(former)]
            else:
                held.add(file.id)
                reasons[file.id] = feed.reason
                lines.append(sentences.HELD_BACK.format(name=file.name, reason=feed.reason))
            log.warning("%s", lines[-1])
        files.append(file)
        former.append((feed, file.id in held))
    ours = {file.id for file in batch}
    accepted = [file for file in accepted if file.id not in ours]
    return Feeds(
        rows=counting(held),
        batch=(*accepted, *(file for file in batch if file.id not in held)),
        found=found,
        held={number: reason for number, reason in reasons.items() if number in held},
        accepted=tuple(accepted),
        lines=tuple(lines),
    )


def _accepted_line(same: Sequence[tuple[PendingFile, Feed]]) -> str:
    days = [feed.day for _, feed in same]
    return sentences.ACCEPTED.format(
        names=", ".join(file.name for file, _ in same),
        batches=len(same),
        days=max(days) - min(days),
        reason=same[-1][1].reason,
    )


def _checked(
    file: PendingFile,
    before: Master,
    now: Master,
    held: set[int],
    live: Live,
    on_test: Evaluation,
    day: int,
) -> Feed:
    """What the check of one file finds; `day` is that of its time stamp.

    Lines that it shares with a former content that is held back are its own.
    """
    schema = now.schema
    present = now.present
    by_it = np.isin(content_of(now.states["sighted"][present.index]), [file.id, *held])
    brought = present[by_it]
    if schema.date and len(brought):
        day = max(int(days_of(brought[schema.date]).max()), NO_DAY + 1)
    findings = [*_column_findings(before, now, brought)]
    clients = feed_check.can_compare(before.present, brought, schema)
    if clients:
        pairs = feed_check.paired(before.present, present, schema)
        findings += feed_check.check_risks(*(_risks(live, frame) for frame in pairs))
    tested = predict_rows(live.model, now.brought_by([file]), schema).tested
    findings += feed_check.check_outcomes(
        tested,
        on_test.scores.roc_auc,
        lambda: float(before.learned[schema.outcome].mean()),
        live.release.model.recipe.seed,
    )
    compared = [Compared.CLIENTS] * clients
    compared += [Compared.OUTCOMES] * (not feed_check.few_outcomes(tested))
    return Feed(day, tuple(compared), tuple(findings))


def _column_findings(before: Master, now: Master, brought: pd.DataFrame) -> Iterator[Finding]:
    schema, known = now.schema, before.present
    if feed_check.can_compare(known, brought, schema):
        pairs = feed_check.paired(known, brought, schema)
        yield from feed_check.check_columns(*pairs, schema, same_clients=True)
    elif feed_check.once(before.frame[schema.client]):
        new = brought[~brought[schema.client].isin(known[schema.client])]
        if min(len(new), len(known)) >= feed_check.MIN_CLIENTS_ONCE:
            pairs = feed_check.thinned(known), feed_check.thinned(new)
            yield from feed_check.check_columns(*pairs, schema, same_clients=False)


def _risks(live: Live, frame: pd.DataFrame) -> Risks:
    return Risks(risk_of(live.model, frame), predictions_of(live.model, frame).astype("float64"))
