"""How long the ranking of clients takes, by its parts and against reading their table alone.

Run it from the project's folder:

    python -m tests.bench.bench_ranking [--clients 1000 10000 100000 1000000] [--repeat 31]

The table has a row a client, about a quarter of whom have left and are not ranked. Everything is
warm: the model is loaded, and each line is the median of turns taken one after the other.
"""

import argparse
import logging
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import pandas as pd

from pipeline.config import Config
from pipeline.features import features_of
from pipeline.files import write_atomic
from pipeline.history import History
from pipeline.master import read_master
from pipeline.models import risk_of
from pipeline.releases import Release
from pipeline.scorers import scorer_of
from reporting import rank_clients, ranking_text, write_ranking
from tests.bench.measuring import interleaved, machine, peak_of, table, world
from training import train

CLIENTS = (1_000, 10_000, 100_000, 1_000_000)
READ, WHOLE = "pandas.read_csv of the same file", "the ranking: read, rank, write"

_BEFORE = """
trained = load_trained(config.output_model_path, config.schema)
release = Release("000001-20261122T090000Z", config.path, "", 0.7, None, {}, trained.manifest)
scorer = scorer_of(trained.model, trained.manifest)
"""


def measured(config: Config, repeat: int) -> dict[str, tuple[float, float]]:
    """Part -> median seconds by the clock and of the processor."""
    trained = train(config)
    release = Release("000001-20261122T090000Z", config.path, "", 0.7, None, {}, trained.manifest)

    def read() -> pd.DataFrame:
        with History(config.history_path) as history:
            return read_master(config, history)

    frame = read()
    here = frame[frame[config.schema.outcome] != 1]
    scorer = scorer_of(trained.model, trained.manifest)
    ranking = rank_clients(scorer, frame, config.schema)
    text = ranking_text(ranking, config.risk_bands, release)
    return interleaved(
        {
            READ: lambda: pd.read_csv(config.finaldata_path),
            WHOLE: lambda: write_ranking(config, release, scorer),
            "  read, with the history": read,
            "  latest rows, predict, sort": lambda: rank_clients(scorer, frame, config.schema),
            "    of it by coefficients": lambda: scorer.scores(features_of(here, config.schema)),
            "    predict_proba would take": lambda: risk_of(trained.model, here),
            "  the text": lambda: ranking_text(ranking, config.risk_bands, release),
            "  write and fsync": lambda: write_atomic(config.clientrisk_path, text),
        },
        repeat,
    )


def peak(config: Config) -> tuple[float, float, float]:
    """MiB before and at most, and seconds, of a ranking in a process of its own."""
    return peak_of(
        config,
        imports="from pipeline.models import load_trained\nfrom pipeline.releases import Release\n"
        "from pipeline.scorers import scorer_of\nfrom reporting import write_ranking",
        before=_BEFORE,
        work="write_ranking(config, release, scorer)",
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print the tables."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clients", type=int, nargs="+", default=CLIENTS, metavar="N")
    parser.add_argument("--repeat", type=int, default=31, metavar="N")
    args = parser.parse_args(argv)
    logging.disable(logging.INFO)
    found, peaks = {}, {}
    with TemporaryDirectory(prefix="ranking-") as folder:
        for clients in args.clients:
            config = world(Path(folder) / str(clients), clients)
            repeat = max(5, min(args.repeat, args.repeat * 10_000 // clients))
            found[clients] = measured(config, repeat)
            peaks[clients] = peak(config)
    sizes = [f"{clients:,}" for clients in args.clients]
    names = list(found[args.clients[0]])
    lines = [
        [name, *(f"{1000 * times[name][0]:.1f}" for times in found.values())] for name in names
    ]
    for what, which in (("seconds", 0), ("seconds of processor", 1)):
        ratios = [times[WHOLE][which] / times[READ][which] for times in found.values()]
        lines.append([f"ranking / read_csv, {what}", *(f"{ratio:.2f}" for ratio in ratios)])
    lines.append(["MiB before", *(f"{first:.0f}" for first, _, _ in peaks.values())])
    lines.append(["MiB at most", *(f"{most:.0f}" for _, most, _ in peaks.values())])
    print(
        table(["median milliseconds with so many clients", *sizes], lines), "", machine(), sep="\n"
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
