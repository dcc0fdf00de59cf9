"""The tables of clients that page, report and PDF share: who is at risk, and who moved."""

import numpy as np
import pandas as pd

from pipeline.core.formatting import format_amount, format_percent, format_release_number
from pipeline.ranking.movers import Movers
from pipeline.ranking.ranking_file import reasons_of
from pipeline.reporting.document import Grid

MOVERS = 10  # clients, of those who rose and of those who fell
TOP_CLIENTS = 20  # clients
_LONGEST = {"client": 40, "reasons": 150}  # characters on paper


def top_grid(ranking: pd.DataFrame) -> Grid:
    """The clients at the highest risk, and why."""
    valued = "expected_loss" in ranking
    rows = []
    for row in ranking.head(TOP_CLIENTS).to_dict(orient="records"):
        loss = row.get("expected_loss", np.nan)
        reasons = "; ".join(reasons_of(row["reasons"]))
        rows.append(
            (
                f"{row['rank']}",
                row["client"],
                format_percent(row["risk"]),
                *((("-" if np.isnan(loss) else format_amount(loss)),) if valued else ()),
                reasons or "-",
            )
        )
    header = ("#", "client", "risk", *(("expected loss",) if valued else ()), "reasons")
    widths = (1, 4, 2, 3, 12) if valued else (1, 4, 2, 12)
    caption = "Highest risk first"
    numbers = (0, 2, 3) if valued else (0, 2)
    longest = tuple(_LONGEST.get(name, 20) for name in header)
    return Grid(
        caption, header, tuple(rows), numbers, widths=widths, longest=longest, on_paper=TOP_CLIENTS
    )


def mover_grids(movers: Movers) -> tuple[Grid, ...]:
    """Whose risk rose most, and whose fell most, in whole percents."""
    before, now = map(format_release_number, (movers.release_before, movers.release))
    note = f" (release {before} then, {now} now)" if before not in (now, "-") else ""
    return tuple(
        Grid(
            f"Largest {what} since the ranking before{note}",
            ("client", "before", "now", "change"),
            tuple(
                (
                    mover.client,
                    format_percent(mover.before, 0),
                    format_percent(mover.risk, 0),
                    f"{100 * mover.change:+.0f}",
                )
                for mover in moved[:MOVERS]
            ),
            numbers=(1, 2, 3),
            empty="none",
            widths=(5, 2, 2, 2),
            longest=(_LONGEST["client"], 20, 20, 20),
            beside=True,
        )
        for what, moved in (("increases", movers.rose), ("decreases", movers.fell))
    )
