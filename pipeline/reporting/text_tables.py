"""Trends and the last drift check as aligned tables for a terminal."""

import unicodedata
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate

from pipeline.core.formatting import format_minute, format_release_number, pluralize
from pipeline.monitoring.decisions import FeatureDrift
from pipeline.storage.records import Checked
from pipeline.storage.trends import Trends

MAX_CELLS = 60  # cells of a reason or a name; the rest is in `--json`
MAX_WIDTH = 100  # cells of a line about missing data
_INDENT, _GAP = "  ", "  "


def trend_lines(found: Trends) -> list[str]:
    """Every kind of trend as a titled table, oldest first."""
    parts = [
        _titled("drift checks", _checks(found)),
        _titled("releases that went live", _deployments(found)),
        _titled("missing data, percent", _missing(found)),
        _titled("timings", _timings(found)),
        _titled("rejected files and rows set aside", _refused(found)),
    ]
    return "\n\n".join(parts).splitlines()


def aligned(header: Sequence[str], rows: Sequence[Sequence[str]], *, left: int = 1) -> list[str]:
    """A table of texts, the first `left` columns and the last to the left, others to the right.

    Without rows it has no header either.
    """
    lines = [header, *rows] if rows else []
    widths = [max(map(width, column)) for column in zip(*lines, strict=True)]
    last = len(header) - 1
    aligned_lines = []
    for line in lines:
        cells = []
        for i, (cell, wide) in enumerate(zip(line, widths, strict=True)):
            padding = " " * (wide - width(cell))
            cells.append(cell + padding if i < left or i == last else padding + cell)
        aligned_lines.append(_GAP.join(cells).rstrip())
    return aligned_lines


def width(text: str) -> int:
    """How many cells of a terminal a text takes: wide letters take two, marks upon others none."""
    return sum(map(_cells, text))


def _cells(letter: str) -> int:
    if unicodedata.category(letter) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(letter) in ("W", "F") else 1


def _titled(title: str, table: list[str]) -> str:
    return "\n".join([title, *(f"{_INDENT}{line}" for line in table or ["none yet"])])


def _checks(found: Trends) -> list[str]:
    names = ("when", "live", "rows", "labelled", "deployed F1", "F1")
    header = (*names, "drifted features", "verdict, action")
    rows = [
        (
            *(
                format_minute(c.at),
                format_release_number(c.release),
                f"{c.rows:,}",
                f"{c.labelled:,}",
            ),
            *(_score(c.deployed_f1), _score(c.new_f1), str(c.drifted)),
            f"{c.verdict}, {c.action}"
            + (f" {format_release_number(c.new_release)}" if c.new_release else ""),
        )
        for c in found.checks
    ]
    return aligned(header, rows, left=2)


def _deployments(found: Trends) -> list[str]:
    rows = [(format_minute(d.at), d.release, _score(d.f1), d.action) for d in found.deployments]
    return aligned(("when", "release", "F1", "how"), rows, left=2)


def _missing(found: Trends) -> list[str]:
    """The columns that ever lacked values, side by side as far as a line goes, then below."""
    columns = dict.fromkeys(name for one in found.missing for name in one.percent)
    lacking = [name for name in columns if any(one.percent.get(name) for one in found.missing)]
    lines = []
    for names in _blocks(lacking):
        rows = [
            (format_minute(one.at), *(_percent(one.percent.get(name)) for name in names), "")
            for one in found.missing
        ]
        lines += aligned(("when", *map(_short, names), ""), rows)
    if whole := len(columns) - len(lacking):
        lines.append(f"{pluralize(whole, 'column')} never lacked a value")
    return lines


def _blocks(columns: Sequence[str]) -> Iterator[list[str]]:
    """Columns of percents in parts that fit a line next to the time."""
    names, used = list[str](), 0
    room = MAX_WIDTH - len(_INDENT) - len("2026-11-22 09:00")
    for name in columns:
        takes = len(_GAP) + max(width(_short(name)), len("100.00"))
        if names and used + takes > room:
            yield names
            names, used = [], 0
        names.append(name)
        used += takes
    if names:
        yield names


def _timings(found: Trends) -> list[str]:
    rows = [
        (format_minute(t.at), f"{t.seconds:.3f}", f"{t.rows:,}", t.stage) for t in found.timings
    ]
    return aligned(("when", "seconds", "rows", "stage"), rows)


def _refused(found: Trends) -> list[str]:
    rows = [
        (
            *(format_minute(r.at), _short(r.name), f"{r.rows:,}", f"{r.set_aside:,}"),
            _short(r.reason) if r.reason else "ingested without them",
        )
        for r in found.refused
    ]
    return aligned(("when", "file", "rows", "bad rows", "result"), rows, left=2)


def _score(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _short(text: str) -> str:
    if width(text) <= MAX_CELLS:
        return text
    cells = list(accumulate(map(width, text)))
    return text[: bisect_right(cells, MAX_CELLS - 1)] + "…"


def drift_lines(checked: Checked) -> list[str]:
    """What the last drift check found, for a person: by score, then by input."""
    counts = checked.drift_test
    lines = [f"last drift check, {checked.at}, of release {checked.release}"]
    for verdict in checked.scores:
        mark = "*" if verdict.test == counts else " "
        lines.append(f"{mark} {verdict.test:<14}{verdict.verdict:<21}{verdict.reason}")
    lines.append("* decides")
    if checked.input:
        names = [found.name for found in checked.input]
        wide = max(28, *(len(name) + 2 for name in names))
        lines += ["", "input compared with the training data of that release"]
        head = f"{'PSI':>7}{'limit':>8}{'p':>10}{'missing %':>11}{'before %':>10}{'unseen %':>10}"
        lines.append(f"  {'feature':<{wide}}{head}  verdict")
        lines += [
            f"  {name:<{wide}}{_input_numbers(found)}"
            for name, found in zip(names, checked.input, strict=True)
        ]
    return lines


def _input_numbers(found: FeatureDrift) -> str:
    limit, p_value = _number(found.psi_limit, "8.3f"), _number(found.p_value, "10.2g")
    missing, before = f"{100 * found.missing:11.2f}", f"{100 * found.missing_before:10.2f}"
    unseen = _number(None if found.unseen is None else 100 * found.unseen, "10.2f")
    return f"{_number(found.psi, '7.3f')}{limit}{p_value}{missing}{before}{unseen}  {found.verdict}"


def _number(value: float | None, form: str) -> str:
    """A number in a table, or a dash as wide."""
    return f"{'-':>{form.split('.')[0]}}" if value is None else format(value, form)
