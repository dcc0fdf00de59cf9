"""How the chain decides in a made-up company's year, beside plain fits on the same observations.

Run it from the project's folder; a seed takes some minutes:

    python -m tests.bench.bench_company_year [--seeds 1 2 3] [--weeks 52]
        [--set model='"auto"'] [--set threshold='"f1"'] [--dated] [--quiet] [--without-fits]

The company is that of `tests/support/company.py`. Each week its file is put into the folder, with
a time stamp a week after that before, and the chain runs as cron would have it, with no key in the
config but the schema and those that are set. The AUC is that of the risks in the ranking, for the
clients on the week's list, by who of them leaves within four weeks. Beside it are two fits by the
project's own training, of kind "auto": on all labelled rows known by then, and on those whose
outcomes came with the last 8 files; both score the true features of the same clients. `--quiet` is
a year without a change of causes, new clients or broken feeds.
"""

import argparse
import json
import logging
import os
from collections import Counter
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from time import process_time, time

import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score
from threadpoolctl import threadpool_limits

from pipeline import chain
from pipeline.core.config import Config, load_config
from pipeline.core.policy import Policy
from pipeline.models.cross_validation import TrainingData, subsample
from pipeline.models.estimators import risk_of
from pipeline.models.training import fit
from pipeline.monitoring.decisions import Action, ChallengeOutcome
from pipeline.observations.master import open_master
from pipeline.ranking.ranking_file import read_ranking
from pipeline.storage.history import open_history
from tests.bench.measuring import machine, table
from tests.support.company import DATED, QUIET, SCHEMA, Events, Week, Year, csv_text, year

WEEK = 7 * 24 * 3600
LATE = 3600  # seconds before now that the last file has
RECENT = 8  # files whose outcomes the second fit learns from
BEFORE, AFTER = range(8, 17), range(32, 44)  # the weeks that are judged
CALM = (*range(8, 20), *range(24, 30), *range(32, 38))  # without an event a warning could be of
FOLDERS = ("input_folder", "output_folder", "test_data", "output_model", "prod_deployment")
NAMES = {
    "chain": "the chain",
    "all_rows": "a fit on all rows",
    "recent": "a fit on the last 8",
    "ideal": "the true chances",
}
MACHINE = ("diagnostics",)  # loggers whose warnings are of the machine, not of the data


@dataclass
class Line:
    """What a week came to; an AUC is NaN where it was not measured."""

    seed: int
    week: int
    verdict: str = ""
    action: str = ""
    challenge: str = ""
    held_back: bool = False
    chain: float = np.nan
    all_rows: float = np.nan
    recent: float = np.nan
    ideal: float = np.nan
    contacted: float = np.nan  # of those ranked
    ranked: float = np.nan  # of those on the list
    broken: int = 0  # rows of broken feeds among those that a training would learn from
    seconds: float = 0.0  # of the chain, CPU
    reason: str = ""
    warnings: list[str] = field(default_factory=list)


class _Warnings(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.found: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.name not in MACHINE:
            self.found.append(record.getMessage())

    def take(self) -> list[str]:
        """Those since the last time, each once."""
        found, self.found = list(dict.fromkeys(self.found)), []
        return found


def live(world: Year, seed: int, keys: dict[str, object], fitted: Container[int]) -> Iterator[Line]:
    """Let the chain live through a year; a line a week. The other fits are made in some weeks."""
    warnings, reported = _Warnings(), [world.history]
    logging.getLogger().addHandler(warnings)
    end = time() - LATE
    with TemporaryDirectory() as folder:
        config = _project(Path(folder), world, keys)
        for week in world.weeks:
            when = end - (len(world.weeks) - 1 - week.number) * WEEK
            if not week.number:
                _write(config.input_folder_path / "history.csv", world.history, when - 3600)
            _write(config.input_folder_path / f"week_{week.number:02}.csv", week.sent, when)
            reported.append(week.reported)
            began = process_time()
            said: list[str] = []
            with open_history(config.history_path) as history:
                done = chain.run(config, history, said.extend)
            line = Line(seed, week.number, seconds=process_time() - began, warnings=warnings.take())
            if decision := done.decision:
                line.verdict, line.action = decision.verdict, decision.action
                line.challenge, line.reason = decision.challenge or "", decision.reason
                line.held_back = "held back" in " ".join((decision.reason, *said, *line.warnings))
            _measure(line, config, week)
            if line.action == Action.DEPLOYED or week is world.weeks[-1]:
                line.broken = _broken_rows(config, world, week.number)
            if week.number in fitted:
                line.all_rows = _auc(reported, week, world)
                line.recent = _auc(reported[-RECENT:], week, world)
            yield line
    logging.getLogger().removeHandler(warnings)


def _project(root: Path, world: Year, keys: dict[str, object]) -> Config:
    schema = world.schema
    settings = {
        **{f"{name}_path": name for name in FOLDERS},
        "schema": {
            "client": schema.client,
            "outcome": schema.outcome,
            "numeric": schema.numeric,
            "categorical": schema.categorical,
            **({"date": schema.date} if schema.date else {}),
        },
        "report_formats": [],
        "api_url": None,
        **keys,
    }
    (root / "config.json").write_text(json.dumps(settings))
    config = load_config(root / "config.json")
    config.input_folder_path.mkdir()
    config.test_data_path.mkdir()
    _write(config.test_data_path / "test.csv", world.test, time() - LATE)
    return config


def _write(path: Path, frame: pd.DataFrame, when: float) -> None:
    path.write_text(csv_text(frame), encoding="utf-8")
    os.utime(path, (when, when))


def _measure(line: Line, config: Config, week: Week) -> None:
    ranking = read_ranking(config.clientrisk_path)
    line.contacted = float((ranking["contact"] == "yes").mean())
    risk = week.listed["client"].map(ranking.set_index("client")["risk"]).to_numpy()
    there = ~np.isnan(risk)
    line.ranked = float(there.mean())
    line.chain = float(roc_auc_score(week.leaves[there], risk[there]))
    line.ideal = float(roc_auc_score(week.leaves, week.chance))


def _broken_rows(config: Config, world: Year, until: int) -> int:
    """How many rows of broken feeds are among those to learn from."""
    broken = [world.weeks[w] for w in world.events.broken if w <= until]
    if not broken:
        return 0
    with open_history(config.history_path) as history:
        known = open_master(config.finaldata_path, config.schema, history).training_data().frame
    return sum(_learned(known, week, list(world.schema.numeric)) for week in broken)


def _learned(known: pd.DataFrame, week: Week, numbers: list[str]) -> int:
    """How many of the week's rows in which a number is not the true one are among the known."""
    sent = week.sent[: len(week.listed)]
    wrong = (sent[numbers].fillna(0) != week.listed[numbers].fillna(0)).any(axis=1)
    return len(known.merge(sent.loc[wrong, ["client", *numbers]]))


def _auc(reported: Sequence[pd.DataFrame], week: Week, world: Year) -> float:
    frame = pd.concat(reported, ignore_index=True)
    data = TrainingData(frame, subsample(frame, world.schema), world.schema)
    model = fit(data, Policy(model="auto")).model
    return float(roc_auc_score(week.leaves, risk_of(model, week.listed)))


def summary(lines: Sequence[Line], events: Events) -> dict[str, str]:
    """What a seed came to: what is measured, and its value."""
    by_week = {line.week: line for line in lines}
    found = {}
    for weeks in (BEFORE, AFTER):
        judged = [by_week[week] for week in weeks if week in by_week]
        span = f"weeks {weeks[0]} to {weeks[-1]}"
        for name in ("chain", "all_rows", "recent", "ideal"):
            mean = np.mean([getattr(line, name) for line in judged]) if judged else np.nan
            found[f"AUC in {span}, {NAMES[name]}"] = _auc_text(float(mean)).strip()
    for weeks in (events.zeros, events.units):
        for week in [week for week in weeks if week in by_week]:
            now, before = by_week[week].contacted, by_week[weeks[0] - 1].contacted
            found[f"to be contacted in week {week}, of week {weeks[0] - 1}"] = (
                f"{now:.1%} of {before:.1%}"
            )
    calm = [by_week[week] for week in CALM if week in by_week]
    verdicts = Counter(line.verdict for line in lines)
    return found | {
        "redeployments": str(sum(line.action == Action.DEPLOYED for line in lines[1:])),
        "challenges lost": str(sum(line.challenge == ChallengeOutcome.LOST for line in lines)),
        "verdicts": ", ".join(f"{count} {name}" for name, count in verdicts.most_common()),
        "weeks held back": " ".join(str(line.week) for line in lines if line.held_back),
        "rows of broken feeds learned from": f"{max(line.broken for line in lines):,}",
        f"weeks with a warning, of {len(calm)} calm ones": str(sum(bool(x.warnings) for x in calm)),
        f"warnings in these {len(calm)} weeks": str(sum(len(line.warnings) for line in calm)),
        "CPU seconds of the chain": f"{sum(line.seconds for line in lines):.0f}",
    }


def _auc_text(value: float) -> str:
    return 5 * " " if np.isnan(value) else f"{value:.3f}"


def _key(text: str) -> tuple[str, object]:
    name, _, value = text.partition("=")
    return name, json.loads(value)


def main(argv: Sequence[str] | None = None) -> int:
    """Live the years and print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--weeks", type=int, default=52)
    parser.add_argument("--set", type=_key, action="append", default=[], metavar="KEY=JSON")
    for name in ("dated", "quiet", "without-fits"):
        parser.add_argument(f"--{name}", action="store_true")
    args = parser.parse_args(argv)
    os.environ["PIP_PYTHON"] = "/nowhere"  # no package index is asked
    # where others use the cores too, threads that wait for each other take minutes for seconds
    threadpool_limits(1, "openmp")
    events, schema = QUIET if args.quiet else Events(), DATED if args.dated else SCHEMA
    first_day = date.fromtimestamp(time() - LATE - (args.weeks - 1) * WEEK)
    fitted = () if args.without_fits else (*BEFORE, *AFTER)
    found = {}
    for seed in args.seeds:
        began, lines = process_time(), []
        world = year(seed, weeks=args.weeks, events=events, schema=schema, first_day=first_day)
        for line in live(world, seed, dict(args.set), fitted):
            lines.append(line)
        found[f"seed {seed}"] = summary(lines, events) | {
            "CPU seconds of all": f"{process_time() - began:.0f}"
        }
    names = next(iter(found.values()))
    rows = [[name, *(one[name] for one in found.values())] for name in names]
    print(table(["", *found], rows))
    print(machine())
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
