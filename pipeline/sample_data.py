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
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from pipeline.cli import escape_output, print_lines
from pipeline.core.files import atomic_writer

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
    """Return clients of the usual process."""
    return draw(USUAL, rows, seed, first)


def drifted(rows: int, seed: int, first: int = DRIFT) -> pd.DataFrame:
    """Return clients of the new market, most of whom leave."""
    return draw(NEW, rows, seed, first)


def bulk(rows: int, seed: int) -> Iterator[pd.DataFrame]:
    """Yield this many rows of the usual process in chunks."""
    for start in range(0, rows, CHUNK):
        yield clients(min(CHUNK, rows - start), seed, BULK + start)


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
    rows = 0
    with atomic_writer(path) as file:
        file.write(f"{','.join(COLUMNS)}\n".encode())
        for table in tables:
            file.write(table.to_csv(header=False, index=False, lineterminator="\n").encode())
            rows += len(table)
    return rows


def natural(text: str) -> int:
    """Parse an integer that is not negative."""
    if (number := int(text)) < 0:
        raise ValueError
    return number


def main(argv: Sequence[str] | None = None) -> int:
    """Write the requested files and print the path and rows of each."""
    escape_output()
    parser = argparse.ArgumentParser(description="Write the synthetic sample data.")
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--drift", action="store_true", help="write a batch of a new market")
    mode.add_argument("--stable", action="store_true", help="write one more usual batch")
    mode.add_argument("--rows", type=natural, metavar="N", help="write N rows to --output")
    parser.add_argument("--output", metavar="FILE", help="the file of --rows, below --folder")
    parser.add_argument("--folder", type=Path, default=ROOT, help="default: the project's")
    parser.add_argument("--seed", type=natural, default=SEED, help="default: %(default)s")
    args = parser.parse_args(argv)
    if (args.rows is None) == bool(args.output):
        parser.error("--rows and --output go together")
    files: dict[str, Iterable[pd.DataFrame]]
    if args.rows is not None:
        files = {args.output: bulk(args.rows, args.seed)}
    elif args.drift:
        files = {"sourcedata/dataset5.csv": [drifted(2_000, args.seed)]}
    elif args.stable:
        files = {"sourcedata/dataset6.csv": [clients(1_000, args.seed, STABLE)]}
    else:
        files = {name: [table] for name, table in shipped(args.seed).items()}
    for name, tables in files.items():
        print_lines([f"{args.folder / name}: {write(args.folder / name, tables)} rows"])
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
