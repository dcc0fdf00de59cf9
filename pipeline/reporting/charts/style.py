"""The one style of all pictures: colours, type, and how a figure becomes SVG or PNG."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any

import matplotlib as mpl
import numpy as np
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure

# Told apart by people who see no red or no green, and, with the line styles, in grey print; each
# stands out 3 : 1 from white, as WCAG 2.2 asks of graphics (1.4.11).
SERIES = ("#0b4f8a", "#c2570c", "#00967a", "#905aa7", "#6b7280", "#8a5524")
LINES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (1, 2)))
MAIN, ALARM, GOOD, QUIET = SERIES[0], SERIES[1], SERIES[2], SERIES[4]
INK, MUTED, GRID, PAPER = "#1f2328", "#59636e", "#d1d9e0", "#ffffff"
# of a matrix: dark is much, in grey too; none so dark that the letters on it could not be read
SHADES = ListedColormap(mpl.colormaps["Blues"](np.linspace(0, 0.55, 256)))
ON_SHADES = "#262626"  # in the dark, too: the shades stay as they are

WIDTH, HEIGHT = 5.0, 2.75  # inches; on a phone of 320 pixels it is drawn at 0.8 of its size
SMALL = 10.2  # points: the least letters, which are 8 pixels there

_STYLE: Any = {  # a mapping of names that matplotlib lists one by one
    "font.family": "DejaVu Sans",
    "font.size": 11,
    "text.color": INK,
    "text.parse_math": False,  # a dollar in a column's name is a dollar
    "axes.edgecolor": MUTED,
    "axes.facecolor": "none",
    "axes.labelcolor": INK,
    "axes.labelsize": 11,
    "axes.titlesize": 11.5,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.prop_cycle": cycler(color=SERIES, linestyle=LINES),
    "figure.facecolor": "none",
    "figure.edgecolor": "none",
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "hatch.linewidth": 0.7,
    "legend.fontsize": 10.5,
    "legend.frameon": False,
    "lines.linewidth": 1.6,
    "lines.markersize": 4.5,
    "savefig.facecolor": "none",
    "svg.hashsalt": "one",  # the same picture gives the same bytes
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 10.5,
    "ytick.labelsize": 10.5,
    # labels alone: the grid shows where they belong
    **{f"{axis}tick.{kind}.size": 0 for axis in "xy" for kind in ("major", "minor")},
    **{f"{axis}tick.major.pad": 6 for axis in "xy"},
}
_LOCK = Lock()  # matplotlib's settings are those of the whole process


@contextmanager
def styled(**more: Any) -> Iterator[None]:
    """Draw and save in the style of the house; one thread at a time."""
    settings: Any = {**_STYLE, **more}
    with _LOCK, mpl.rc_context(settings):
        yield


def new_figure(width: float = WIDTH, height: float = HEIGHT) -> Figure:
    """A figure of so many inches; to be called, drawn on and saved within `styled`."""
    figure = Figure(figsize=(width, height))
    FigureCanvasAgg(figure)
    return figure


def plain_axes(figure: Figure, *, left: float = 0.62, bottom: float = 0.52) -> Axes:
    """Axes with so many inches left free for labels, on a light grid."""
    width, height = figure.get_size_inches()
    right, top = 0.2, 0.12
    axes = figure.add_axes(
        (
            left / width,
            bottom / height,
            (width - left - right) / width,
            (height - bottom - top) / height,
        )
    )
    axes.grid(visible=True)
    axes.xaxis.set_label_coords(0.5, (0.24 - bottom) / (height - bottom - top))
    axes.yaxis.set_label_coords((0.16 - left) / (width - left - right), 0.5)
    return axes


def percent_axes(figure: Figure, x: str, y: str) -> Axes:
    """Axes on which both are a percent, of what is told."""
    axes = plain_axes(figure)
    axes.set_xlabel(f"{x}, percent")
    axes.set_ylabel(f"{y}, %")
    axes.set_xlim(-2, 102)
    axes.set_ylim(-2, 102)
    return axes


def mark_diagonal(axes: Axes, name: str) -> None:
    """A dotted line where both percents are the same."""
    axes.plot([0, 100], [0, 100], color=MUTED, ls=":", lw=1, label=name)


def png_of(figure: Figure, dpi: int = 150) -> bytes:
    """A figure as PNG, on white: people put it into documents of any colour."""
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=dpi, facecolor=PAPER)
    return content.getvalue()


def svg_of(figure: Figure) -> str:
    """A figure as a whole SVG document, its letters as `svg.fonttype` says."""
    content = io.StringIO()
    figure.savefig(content, format="svg", metadata={"Date": None, "Creator": None})
    return content.getvalue()
