"""How long the ranking of clients takes, by its parts and against reading their table alone.

Run it from the project's folder:

    python -m tests.bench.bench_ranking [--clients 1000 10000 100000 1000000] [--repeat 31]

The table has a row a client, about a quarter of whom have left and are not ranked. Everything is
warm: the model is loaded, and each line is the median of turns taken one after the other. Each
ranking is by another release than the one before, so that who moved is looked for every time.
Boosted trees are trained and asked for up to 100,000 clients.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import cycle
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd

from pipeline.core.config import Config
from pipeline.models.persistence import TrainedModel
from pipeline.models.scorer import Scorer
from pipeline.observations.master import open_master
from pipeline.ranking.explanations import Explainer, baseline_row, contributions
from pipeline.ranking.movers import update_movers
from pipeline.ranking.rank import rank_clients
from pipeline.ranking.ranking_file import ranking_table, write_ranking
from pipeline.registry.live_model import Live
from pipeline.registry.releases import Release
from pipeline.stages.reporting import update_ranking
from pipeline.storage.database import History
from tests.bench.measuring import interleaved, machine, parser_for, peak_of, table, world
from tests.support.stagecalls import train

CLIENTS = (1_000, 10_000, 100_000, 1_000_000)
MOST_BOOSTED = 100_000
READ, WHOLE = "pandas.read_csv of the same file", "the ranking: read, rank, explain, compare, write"
BARE = "the same without reasons"

Times = dict[str, tuple[float, float]]


def live_of(trained: TrainedModel, *, number: int = 1, reasons: bool = True) -> Live:
    """A trained model as if it were live; without reasons, as one of an older version."""
    manifest = trained.manifest if reasons else replace(trained.manifest, usual=())
    release = Release(f"{number:06}-20261122T090000Z", Path(), "", 0.7, None, {}, manifest)
    return Live(release, trained.model, Scorer(trained.model, manifest.schema))


def rank(config: Config, live: Live) -> None:
    """The whole ranking, as a run makes it."""
    with History(config.history_path) as history:
        rows = open_master(config.finaldata_path, config.schema, history)
        update_ranking(config, history, live, rows)


def wholes(config: Config, trained: TrainedModel) -> dict[str, Callable[[], object]]:
    """The ranking, each time by the next of five releases, with reasons and without."""

    def ranking(*, reasons: bool) -> Callable[[], None]:
        releases = cycle([live_of(trained, number=n, reasons=reasons) for n in range(1, 6)])
        return lambda: rank(config, next(releases))

    return {WHOLE: ranking(reasons=True), BARE: ranking(reasons=False)}


def parts(config: Config, trained: TrainedModel) -> dict[str, Callable[[], object]]:
    """What the ranking does, one after the other."""

    def read() -> pd.DataFrame:
        with History(config.history_path) as history:
            return open_master(config.finaldata_path, config.schema, history).current()

    live, frame = live_of(trained), read()
    scorer, usual = live.scorer, baseline_row(trained.manifest)
    assert usual is not None
    ranking = rank_clients(scorer, frame, config.schema, config.policy)
    explainer = Explainer(scorer, usual, list(config.labels.values()))
    written = ranking_table(ranking, explainer, config.risk_bands, live.release.id)

    def compare() -> None:
        with History(config.history_path) as history:
            update_movers(history, config.movers_path, ranking, live.release.id)

    return {
        "  read, the present rows": read,
        "  predict, sort": lambda: rank_clients(scorer, frame, config.schema),
        "    of it the scores": lambda: scorer.scores(ranking.rows),
        "  the table, with the reasons": lambda: ranking_table(
            ranking, explainer, config.risk_bands, live.release.id
        ),
        "    of it the reasons": lambda: explainer.reasons(ranking.rows),
        "    of them the contributions": lambda: contributions(scorer, ranking.rows, usual),
        "  who moved": compare,
        "  write and fsync": lambda: write_ranking(config.clientrisk_path, written),
    }


def peak(config: Config) -> tuple[float, float, float]:
    """MiB before and at most, and seconds, of a ranking in a process of its own."""
    return peak_of(
        config,
        imports="from pipeline.models.persistence import load_trained\n"
        "from tests.bench.bench_ranking import live_of, rank",
        before="live = live_of(load_trained(config.output_model_path, config.schema))",
        work="rank(config, live)",
    )


def lines_of(found: Mapping[int, Times], clients: Sequence[int]) -> list[list[str]]:
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
            trained = train(config)
            whole, bits = wholes(config, trained), parts(config, trained)
            read = {READ: lambda path=config.finaldata_path: pd.read_csv(path)}
            found[clients] = interleaved({**read, **whole, **bits}, repeat)
            peaks[clients] = peak(config)
            if clients <= MOST_BOOSTED:
                boosted = train(replace(config, policy=replace(config.policy, model="boosting")))
                trees[clients] = interleaved(wholes(config, boosted), 5)
    sizes = [f"{clients:,}" for clients in args.clients]
    lines = lines_of(found, args.clients)
    for name in (WHOLE, BARE):
        ratios = [times[name][0] / times[READ][0] for times in found.values()]
        lines.append([f"{name[:27]} / read_csv", *(f"{ratio:.2f}" for ratio in ratios)])
    lines.append(["MiB before", *(f"{first:.0f}" for first, _, _ in peaks.values())])
    lines.append(["MiB at most", *(f"{most:.0f}" for _, most, _ in peaks.values())])
    print(table(["median milliseconds with so many clients", *sizes], lines), "", sep="\n")
    if trees:
        print(table(["boosted trees", *sizes], lines_of(trees, args.clients)), "", sep="\n")
    print(machine())
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
