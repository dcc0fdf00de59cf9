"""Write the project's synthetic sample data: clients of a service, some of whom leave.

    python -m pipeline.sample_data                           practice, source and test files
    python -m pipeline.sample_data --drift                   sourcedata/dataset5.csv
    python -m pipeline.sample_data --stable                  sourcedata/dataset6.csv
    python -m pipeline.sample_data --rows 10000000 --output large.csv

Files are written below --folder and repeat byte for byte under the same --seed. The process, with
z1, z2, z3 standard normal and all counts rounded:

    number_of_employees   E = max(1, 60 exp(z1))
    lastyear_activity     Y = 420 (E / 60)^0.2 exp(0.6 z2)
    lastmonth_activity    L = Y / 12 exp(0.5 z3)
    log-odds of exited    -2.6 + 0.25 (Y / 12 - L) - 0.4 ln(E / 60)

Risk rises as last month falls short of a twelfth of last year, and falls with size. Afterwards 3 %
of the cells of the three number columns go missing at random; the outcome is always known.

Drift: the service enters a market of large organisations, which try it in one department and use it
steadily, and a price per employee comes in there: E = 3000 exp(0.3 z1), Y = 420 exp(0.6 z2),
L = Y / 12 exp(0.2 z3), and 0.0025 E joins the log-odds. Most of them leave although their activity
looks fine and size used to mean safety.
"""

import argparse
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.cli import escape_output, print_lines

ROOT = Path(__file__).resolve().parent.parent
SEED = 20200101
NUMBERS = ("lastmonth_activity", "lastyear_activity", "number_of_employees")
COLUMNS = ("corporation", *NUMBERS, "exited")
MISSING = 0.03
CHUNK = 100_000

# Where each file starts in the one long list of clients: no two kinds of file share a client.
SOURCE, TEST, PRACTICE, DRIFT, STABLE, BULK = 0, 10_000, 20_000, 30_000, 40_000, 1_000_000

TRADES = """
    Apparel Beverages Bikes Books Bricks Carpets Cement Ceramics Chemicals Clocks Coffee Cranes
    Dairy Design Energy Farms Ferries Foods Freight Furniture Gardens Glass Hotels Lamps Leather
    Logistics Machines Metals Mills Motors Optics Paper Pumps Sails Seeds Textiles Timber
    Tools Toys Wines
"""
FORMS = """
    AB AG AS BV Co Corp GmbH Inc KG LLC Ltd NV Oy PLC SA SpA Srl
    Alliance Brothers Group Holding Partners Trust Union Works
"""
# The first two pieces have two letters each, so different pieces make different names.
PIECES = (
    [letter + vowel for letter in "BDFKLMNRTV" for vowel in "aeiou"],
    [letter + vowel for letter in "dlmnrstv" for vowel in "aeiou"],
    [letter + ending for letter in "bdklmnrtvz" for ending in ("a", "an", "ex", "is", "or")],
    [f" {trade}" for trade in TRADES.split()],
    [f" {form}" for form in FORMS.split()],
)
NAMES = 100_000_000  # 50 * 40 * 50 * 40 * 25
STRIDE = 61_803_413  # coprime to NAMES: the steps visit every name once, in mixed order


@dataclass(frozen=True)
class Market:
    """What sets the clients of one market apart; the defaults are the usual ones."""

    employees: float = 60
    employees_spread: float = 1.0
    use_by_size: float = 0.2
    month_spread: float = 0.5
    price: float = 0.0


USUAL = Market()
NEW = Market(employees=3000, employees_spread=0.3, use_by_size=0, month_spread=0.2, price=0.0025)


def names(rows: int, first: int) -> NDArray[np.object_]:
    """Return the names of clients first, first + 1, ...; no two indexes share a name."""
    index = np.arange(first, first + rows, dtype=np.int64)
    lap, place = np.divmod(index, NAMES)
    place = place * STRIDE % NAMES
    name = np.full(rows, "", dtype=object)
    for pieces in PIECES:
        place, choice = np.divmod(place, len(pieces))
        name += np.array(pieces, dtype=object)[choice]
    name[lap > 0] += np.array([f" {number + 1}" for number in lap[lap > 0]], dtype=object)
    return name


def draw(market: Market, rows: int, seed: int, first: int) -> pd.DataFrame:
    """Return clients first, first + 1, ... of a market; more rows begin with the same."""
    # Two generators, each filling its array row by row: more rows then only append.
    normal, uniform = np.random.default_rng([seed, first]).spawn(2)
    z = normal.standard_normal((rows, 3)).T
    u = uniform.random((rows, 4)).T
    employees = np.maximum(1, np.rint(market.employees * np.exp(market.employees_spread * z[0])))
    size = np.log(employees / USUAL.employees)
    year = np.rint(420 * np.exp(market.use_by_size * size + 0.6 * z[1]))
    month = np.rint(year / 12 * np.exp(market.month_spread * z[2]))
    log_odds = -2.6 + 0.25 * (year / 12 - month) - 0.4 * size + market.price * employees
    table = pd.DataFrame({"corporation": names(rows, first)})
    for column, values, chance in zip(NUMBERS, (month, year, employees), u[:3], strict=True):
        table[column] = pd.array(np.where(chance < MISSING, np.nan, values), dtype="Int64")
    table["exited"] = (u[3] < np.exp(-np.logaddexp(0, -log_odds))).astype(np.int64)
    return table


def clients(rows: int, seed: int, first: int = SOURCE) -> pd.DataFrame:
    """Return clients first, first + 1, ... of the usual process."""
    return draw(USUAL, rows, seed, first)


def drifted(rows: int, seed: int, first: int = DRIFT) -> pd.DataFrame:
    """Return clients first, first + 1, ... of the new market, most of whom leave."""
    return draw(NEW, rows, seed, first)


def repeated(table: pd.DataFrame, share: float, seed: int) -> pd.DataFrame:
    """Return the table with about this share of its rows replaced by copies of earlier ones."""
    chance, pick = np.random.default_rng(seed).random((len(table), 2)).T
    original = chance >= share
    original[:1] = True
    copied = np.flatnonzero(original)[(pick * np.cumsum(original)).astype(np.int64)]
    return table.iloc[np.where(original, np.arange(len(table)), copied)]


def bulk(rows: int, seed: int, share: float = 0.0) -> Iterator[pd.DataFrame]:
    """Yield this many rows of the usual process in chunks, this share of them repeats."""
    for start in range(0, rows, CHUNK):
        table = clients(min(CHUNK, rows - start), seed, BULK + start)
        yield repeated(table, share, seed + start) if share else table


def shipped(seed: int) -> dict[str, pd.DataFrame]:
    """Return the files of the project by name; the practice files have 30 rows in common."""
    source, practice = clients(10_000, seed, SOURCE), clients(370, seed, PRACTICE)
    return {
        "practicedata/dataset1.csv": practice[:200],
        "practicedata/dataset2.csv": practice[170:],
        "sourcedata/dataset3.csv": source[:5_000],
        "sourcedata/dataset4.csv": source[5_000:],
        "testdata/testdata.csv": clients(2_000, seed, TEST),
    }


def write(path: Path, tables: Iterable[pd.DataFrame]) -> int:
    """Write the tables as one CSV file, which appears complete or not at all; return its rows."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    rows = 0
    try:
        with part.open("w", encoding="utf-8", newline="") as file:
            file.write(",".join(COLUMNS) + "\n")
            for table in tables:
                table.to_csv(file, header=False, index=False, lineterminator="\n")
                rows += len(table)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    return rows


def natural(text: str) -> int:
    """Parse an integer that is not negative."""
    number = int(text)
    if number < 0:
        raise ValueError
    return number


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """Parse the command line; exit with status 2 where it makes no sense."""
    parser = argparse.ArgumentParser(description="Write the synthetic sample data.")
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--drift", action="store_true", help="write a batch of a new market")
    mode.add_argument("--stable", action="store_true", help="write one more usual batch")
    mode.add_argument("--rows", type=natural, metavar="N", help="write N rows to --output")
    parser.add_argument("--output", metavar="FILE", help="the one file, below --folder")
    parser.add_argument("--duplicates", type=float, default=0.0, help="share of --rows")
    parser.add_argument("--folder", type=Path, default=ROOT, help="default: the project's")
    parser.add_argument("--seed", type=natural, default=SEED, help="default: %(default)s")
    args = parser.parse_args(argv)
    if args.rows is not None and not args.output:
        parser.error("--rows needs --output")
    if not 0 <= args.duplicates < 1:
        parser.error("--duplicates must be at least 0 and below 1")
    if args.duplicates and args.rows is None:
        parser.error("--duplicates needs --rows")
    if args.output and args.rows is None and not (args.drift or args.stable):
        parser.error("--output needs --drift, --stable or --rows")
    return args


def requested(args: argparse.Namespace) -> dict[str, Iterable[pd.DataFrame]]:
    """Return what the command line asks for: the tables of each file by its name."""
    if args.drift:
        return {args.output or "sourcedata/dataset5.csv": [drifted(2_000, args.seed)]}
    if args.stable:
        return {args.output or "sourcedata/dataset6.csv": [clients(1_000, args.seed, STABLE)]}
    if args.rows is not None:
        return {args.output: bulk(args.rows, args.seed, args.duplicates)}
    return {name: [table] for name, table in shipped(args.seed).items()}


def main(argv: Sequence[str] | None = None) -> int:
    """Write the requested files and print the path and rows of each."""
    escape_output()
    args = arguments(argv)
    for name, tables in requested(args).items():
        rows = write(args.folder / name, tables)
        print_lines([f"{args.folder / name}: {rows} rows"])
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
