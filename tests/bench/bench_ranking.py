"""How long the ranking of clients takes, by its parts and against reading their table alone.

Run it from the project's folder:

    python -m tests.bench.bench_ranking [--clients 1000 10000 100000 1000000] [--repeat 31]

The table has a row a client, about a quarter of whom have left and are not ranked. Everything is
warm: the model is loaded, and each line is the median of turns taken one after the other. Each
ranking is by another release than the one before, so that who moved is looked for every time.
Boosted trees are trained and asked for up to 100,000 clients.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import cycle
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd

from pipeline.core.config import Config
from pipeline.models.estimators import risk_of
from pipeline.models.manifest import BOOSTING
from pipeline.models.persistence import TrainedModel
from pipeline.models.scorer import scorer_of
from pipeline.ranking.explanations import Explainer, baseline_row, contributions
from pipeline.ranking.movers import update_movers
from pipeline.ranking.rank import rank_clients
from pipeline.ranking.ranking_file import ranking_table, write_ranking
from pipeline.registry.releases import Release
from pipeline.stages.reporting import Ranked, update_ranking
from pipeline.storage.database import History
from pipeline.storage.master import open_master
from tests.bench.measuring import interleaved, machine, parser_for, peak_of, table, world
from tests.support.stagecalls import train

CLIENTS = (1_000, 10_000, 100_000, 1_000_000)
MOST_BOOSTED = 100_000
READ, WHOLE = "pandas.read_csv of the same file", "the ranking: read, rank, explain, compare, write"
BARE = "the same without reasons"

_BEFORE = """
trained = load_trained(config.output_model_path, config.schema)
release = Release("000001-20261122T090000Z", config.path, "", 0.7, None, {}, trained.manifest)
scorer = scorer_of(trained.model, trained.manifest)
"""

Times = dict[str, tuple[float, float]]


def _release(config: Config, trained: TrainedModel) -> Release:
    return Release("000001-20261122T090000Z", config.path, "", 0.7, None, {}, trained.manifest)


def _whole(config: Config, trained: TrainedModel, *, reasons: bool) -> Callable[[], Ranked]:
    manifest = trained.manifest if reasons else replace(trained.manifest, usual=())
    release = replace(_release(config, trained), model=manifest)
    releases = cycle([replace(release, id=f"00000{n}-20261122T090000Z") for n in range(1, 6)])
    scorer = scorer_of(trained.model, manifest)
    return lambda: update_ranking(config, next(releases), scorer)


def measured(config: Config, repeat: int) -> Times:
    """Part -> median seconds by the clock and of the processor."""
    trained = train(config)
    release = _release(config, trained)

    def read() -> pd.DataFrame:
        with History(config.history_path) as history:
            return open_master(config.finaldata_path, config.schema, history).frame

    frame = read()
    here = frame[frame[config.schema.outcome] != 1]
    scorer = scorer_of(trained.model, trained.manifest)
    ranking = rank_clients(scorer, frame, config.schema, config.policy)
    usual = baseline_row(trained.manifest)
    assert usual is not None
    explainer = Explainer(scorer, usual, list(config.labels.values()))
    written = ranking_table(ranking, explainer, config.risk_bands, release.id)

    def compare() -> None:
        with History(config.history_path) as history:
            update_movers(history, config.movers_path, ranking, release.id)

    return interleaved(
        {
            READ: lambda: pd.read_csv(config.finaldata_path),
            WHOLE: _whole(config, trained, reasons=True),
            BARE: _whole(config, trained, reasons=False),
            "  read, with the history": read,
            "  latest rows, predict, sort": lambda: rank_clients(scorer, frame, config.schema),
            "    of it the scores": lambda: scorer.scores(ranking.rows),
            "    of it the log-odds": lambda: scorer.decision(ranking.rows),
            "    predict_proba would take": lambda: risk_of(trained.model, here),
            "  who moved": compare,
            "  the reasons": lambda: explainer.reasons(ranking.rows),
            "    of them the contributions": lambda: contributions(scorer, ranking.rows, usual),
            "  the table, with the reasons": lambda: ranking_table(
                ranking, explainer, config.risk_bands, release.id
            ),
            "  write and fsync": lambda: write_ranking(config.clientrisk_path, written),
        },
        repeat,
    )


def boosted(config: Config, repeat: int) -> Times:
    """The same of boosted trees, as a whole, with and without reasons."""
    trained = train(replace(config, policy=replace(config.policy, model=BOOSTING)))
    return interleaved(
        {
            WHOLE: _whole(config, trained, reasons=True),
            BARE: _whole(config, trained, reasons=False),
        },
        repeat,
    )


def peak(config: Config) -> tuple[float, float, float]:
    """MiB before and at most, and seconds, of a ranking in a process of its own."""
    return peak_of(
        config,
        imports="from pipeline.models.persistence import load_trained\n"
        "from pipeline.registry.releases import Release\n"
        "from pipeline.models.scorer import scorer_of\n"
        "from pipeline.stages.reporting import update_ranking",
        before=_BEFORE,
        work="update_ranking(config, release, scorer)",
    )


def _lines(found: dict[int, Times], clients: Sequence[int]) -> list[list[str]]:
    """A row for each part, in milliseconds by size; a dash where it was not measured."""
    return [
        [name, *(f"{1000 * found[n][name][0]:.1f}" if n in found else "-" for n in clients)]
        for name in next(iter(found.values()))
    ]


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print the tables."""
    parser = parser_for(__doc__, repeat=31)
    parser.add_argument("--clients", type=int, nargs="+", default=CLIENTS, metavar="N")
    args = parser.parse_args(argv)
    found, peaks, trees = {}, {}, {}
    with TemporaryDirectory(prefix="ranking-") as folder:
        for clients in args.clients:
            config = world(Path(folder) / str(clients), clients)
            repeat = max(5, min(args.repeat, args.repeat * 10_000 // clients))
            found[clients] = measured(config, repeat)
            peaks[clients] = peak(config)
            if clients <= MOST_BOOSTED:
                trees[clients] = boosted(config, 5)
    sizes = [f"{clients:,}" for clients in args.clients]
    lines = _lines(found, args.clients)
    for what, name, which in (
        ("ranking / read_csv, seconds", WHOLE, 0),
        ("ranking / read_csv, seconds of processor", WHOLE, 1),
        ("without reasons / read_csv, seconds", BARE, 0),
    ):
        ratios = [times[name][which] / times[READ][which] for times in found.values()]
        lines.append([what, *(f"{ratio:.2f}" for ratio in ratios)])
    lines.append(["MiB before", *(f"{first:.0f}" for first, _, _ in peaks.values())])
    lines.append(["MiB at most", *(f"{most:.0f}" for _, most, _ in peaks.values())])
    print(table(["median milliseconds with so many clients", *sizes], lines), "", sep="\n")
    if trees:
        print(table(["boosted trees", *sizes], _lines(trees, args.clients)), "", sep="\n")
    print(machine())
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
