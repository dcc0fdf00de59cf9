"""Trends as aligned tables for a terminal."""

from collections.abc import Sequence

from pipeline.trends import Trends

LONGEST = 60  # characters of a reason or a name; the rest is in `--json`


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
    """A table of texts, the first `left` columns and the last to the left, others to the right."""
    lines = [header, *rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(header))]
    last = len(header) - 1
    told = []
    for line in lines:
        cells = [
            cell.ljust(width) if i < left or i == last else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        told.append("  ".join(cells).rstrip())
    return told


def _titled(title: str, table: list[str]) -> str:
    body = table if len(table) > 1 else ["none yet"]
    return "\n".join([title, *(f"  {line}" for line in body)])


def _checks(found: Trends) -> list[str]:
    header = ("when", "live", "rows", "labelled", "deployed F1", "F1", "drifted", "verdict, action")
    rows = [
        (
            *(_moment(c.at), _number(c.release), f"{c.rows:,}", f"{c.labelled:,}"),
            *(_score(c.deployed_f1), _score(c.new_f1), str(c.drifted)),
            f"{c.verdict}, {c.action}" + (f" {_number(c.new_release)}" if c.new_release else ""),
        )
        for c in found.checks
    ]
    return aligned(header, rows, left=2)


def _deployments(found: Trends) -> list[str]:
    rows = [(_moment(d.at), d.release, _score(d.f1), d.action) for d in found.deployments]
    return aligned(("when", "release", "F1", "how"), rows, left=2)


def _missing(found: Trends) -> list[str]:
    columns = list(dict.fromkeys(name for at in found.missing for name in at.percent))
    rows = [
        (_moment(one.at), *(_percent(one.percent.get(name)) for name in columns), "")
        for one in found.missing
    ]
    return aligned(("when", *map(_short, columns), ""), rows)


def _timings(found: Trends) -> list[str]:
    rows = [(_moment(t.at), f"{t.seconds:.3f}", f"{t.rows:,}", t.stage) for t in found.timings]
    return aligned(("when", "seconds", "rows", "stage"), rows)


def _refused(found: Trends) -> list[str]:
    rows = [
        (
            *(_moment(r.at), _short(r.name), f"{r.rows:,}", f"{r.set_aside:,}"),
            _short(r.reason) if r.reason else "taken in without them",
        )
        for r in found.refused
    ]
    return aligned(("when", "file", "rows", "bad", "what"), rows, left=2)


def _moment(at: str) -> str:
    """A time to the minute."""
    return at[:16].replace("T", " ")


def _number(release: str | None) -> str:
    """The number that a release's id begins with."""
    return release.partition("-")[0].lstrip("0") if release else "-"


def _score(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _short(text: str) -> str:
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
