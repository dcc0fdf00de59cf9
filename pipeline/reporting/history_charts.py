"""Charts of what the history has: the score, drift of the input, missing values, timings, risks."""

import math
from collections.abc import Iterable, Mapping, Sequence

from pipeline.core.formatting import (
    format_minute,
    format_percent,
    format_release_number,
    format_score,
    format_seconds,
    format_significant,
    pluralize,
    truncate,
)
from pipeline.monitoring.decisions import Cause, FeatureDrift, Verdict
from pipeline.reporting.picture import (
    ALARM,
    COLOURED,
    DASHES,
    MAIN,
    QUIET,
    Axis,
    Chart,
    Plot,
    Series,
    number_axis,
    percent_axis,
    place_of,
    time_axis,
)
from pipeline.reporting.tables import format_number, input_grid
from pipeline.storage.risk_history import RiskPoint
from pipeline.storage.trends import Deployment, Missing, ScoreBin, TimingBin

MAX_RELEASES = 12  # whose numbers are in a picture
MAX_FEATURES = 12  # drawn; the others are in the table
MAX_LINES = 6  # columns that are drawn; the others are in the table
MAX_LETTERS = 22  # of a column's name
ONE_RUN = "The line begins with the second run."
# of the height: a tick of drift, and how much longer it is where all batches drifted
_SHORTEST, _LONGER = 0.03, 0.07
_SCORE, _DRIFT = Series("on new rows", MAIN), Series("drift", ALARM)
_RISK = Series("risk", MAIN)
_THRESHOLD = Series("threshold: predicted to leave", ALARM, dash=DASHES[1])


def score_chart(bins: Sequence[ScoreBin], releases: Sequence[Deployment]) -> Chart:
    """The live model's F1 on each batch, with what drifted and when a release went live."""
    drifted, batches = sum(part.drifted for part in bins), sum(part.batches for part in bins)
    found = "none judged yet"
    if bins:
        latest = f"latest {format_score(bins[-1].f1)}"
        found = f"{latest}; drift in {drifted:,} of {pluralize(batches, 'batch', 'batches')}"
    rows = []
    for part in reversed(bins):
        scores = map(format_score, (part.f1, part.low, part.high))
        rows.append((_span(part), f"{part.batches:,}", *scores, f"{part.drifted:,}"))
    return Chart(
        key="score",
        title=f"F1 of the live model on new rows: {found}",
        summary=(
            "A line of the F1 that the live model reached on each batch of new rows, over time;"
            " ticks at the bottom mark drift, the longer the more of the batches drifted, vertical"
            " lines the releases that went live. Where batches are many, a point is the mean of"
            " several, and the band reaches from the lowest to the highest."
        ),
        header=("when", "batches", "F1", "lowest", "highest", "drifted"),
        rows=tuple(rows),
        picture=_draw_scores(bins, releases[-MAX_RELEASES:]) if bins else "",
        nothing="" if bins else "The line begins with the first batch whose outcomes are known.",
    )


def _draw_scores(bins: Sequence[ScoreBin], releases: Sequence[Deployment]) -> str:
    x = time_axis([*_ends(bins), *(one.at for one in releases)])
    plot = Plot(x, number_axis(1.02, "F1 (0 to 1)"), (_SCORE, _DRIFT))
    at = [*map(_middle, bins)]
    highest = zip(at, (part.high for part in bins), strict=True)
    lowest = zip(reversed(at), (part.low for part in reversed(bins)), strict=True)
    plot.area([*highest, *lowest], MAIN, 0.2)
    plot.line(at, [part.f1 for part in bins], _SCORE, markers=True)
    for when, part in zip(at, bins, strict=True):
        if part.drifted:
            height = _SHORTEST + _LONGER * part.drifted / part.batches
            plot.line([when, when], [0, height], _DRIFT)
    for one in releases:
        plot.mark(place_of(one.at), format_release_number(one.release), QUIET, DASHES[3])
    return plot.picture()


def input_chart(found: Sequence[FeatureDrift], release: str) -> Chart:
    """How far each feature of the last batch has moved from the training data."""
    drifted = [one.name for one in found if one.verdict == Verdict.DRIFT]
    drawn = [one for one in found if one.psi_limit or one.verdict == Verdict.DRIFT]
    drawn.sort(key=lambda one: (one.verdict == Verdict.DRIFT, _ratio(one)), reverse=True)
    title = "no feature drifted" if drawn else "too few rows to tell"
    if drifted:
        title = f"{', '.join(drifted)} drifted"
    grid = input_grid(found)
    return Chart(
        key="input",
        title=f"Input: {title if len(title) < 93 else f'{len(drifted):,} features drifted'}",
        summary=(
            "Bars: the population stability index (PSI) between each feature of the last batch and"
            f" the training data of release {release}, as a multiple of the limit for so many rows;"
            " dashed: the limit. Those that drifted are marked."
        ),
        header=grid.header,
        rows=grid.rows,
        picture=_draw_input(drawn[:MAX_FEATURES]) if drawn else "",
        nothing="" if drawn else "The batch has too few rows to compare.",
    )


def _draw_input(shown: Sequence[FeatureDrift]) -> str:
    room = 2.6 if any(map(_cause, shown)) else 1.25  # for the text at the longest bar
    names = ((-place, truncate(one.name, MAX_LETTERS)) for place, one in enumerate(shown))
    plot = Plot(
        number_axis(room * max(1.0, *map(_ratio, shown)), "PSI, as a multiple of its limit"),
        Axis(0.3 - len(shown), 0.7, tuple(names), "", grid=False),
    )
    plot.mark(1, "", "muted", DASHES[1])
    for place, one in enumerate(shown):
        text = f"drift{_cause(one)}" * (one.verdict == Verdict.DRIFT)
        plot.box((0, _ratio(one)), (-place - 0.3, -place + 0.3), ALARM if text else QUIET)
        plot.text((_ratio(one), -place), text, (4, 3.6), "start")
    return plot.picture()


def _ratio(one: FeatureDrift) -> float:
    """What has too few values for a PSI has none, and so no bar."""
    return (one.psi or 0.0) / (one.psi_limit or 1.0)


def _cause(one: FeatureDrift) -> str:
    """In which way a feature drifted, if not in its values."""
    if one.causes[:1] == (Cause.MISSING,):
        return f": {format_percent(one.missing)} missing"
    return f": {format_percent(one.unseen)} unseen" if Cause.UNSEEN in one.causes else ""


def missing_chart(samples: Sequence[Missing], outcome: str) -> Chart:
    """Percent missing of each column over time; recent clients have no known outcome yet."""
    now = samples[-1].percent if samples else {}
    order = sorted(now, key=lambda name: -now[name])
    lacking = [name for name in order if any(one.percent.get(name) for one in samples)]
    latest = "none now"
    if most := next((name for name in order if name != outcome and now[name]), None):
        latest = f"most in {truncate(most, MAX_LETTERS)}, {now[most]:.1f} %"
    shown = {name: truncate(name, MAX_LETTERS) for name in lacking[:MAX_LINES]}
    if outcome in shown:
        shown[outcome] = f"{truncate(outcome, 14)} (not known yet)"
    rows = []
    for one in reversed(samples):
        percents = (format_number(one.percent.get(name), ".2f") for name in order)
        rows.append((format_minute(one.at), *percents))
    nothing = "" if shown else "No value has been missing."
    if len(samples) < 2:
        nothing = ONE_RUN
    return Chart(
        key="missing",
        title=f"Missing values by column: {latest}",
        summary=(
            "A line for each column that lacks values: the percent missing, over time."
            f" {outcome} of recent clients is not known yet."
        ),
        header=("when", *order),
        rows=tuple(rows),
        picture="" if nothing else _draw_missing(samples, shown),
        nothing=nothing,
    )


def _draw_missing(samples: Sequence[Missing], shown: Mapping[str, str]) -> str:
    """`shown` has the label of each column that is drawn."""
    lines, at = _numbered(shown.values()), [place_of(one.at) for one in samples]
    most = max(one.percent.get(name, 0.0) for one in samples for name in shown)
    x = time_axis([one.at for one in samples])
    plot = Plot(x, number_axis(1.1 * most, "percent missing"), lines)
    for name, series in zip(shown, lines, strict=True):
        values = [one.percent.get(name, math.nan) for one in samples]
        plot.line(at, values, series, markers=True)
    return plot.picture()


def _numbered(names: Iterable[str]) -> list[Series]:
    """Series of these names that are told apart by colour and dash."""
    found = zip(names, COLOURED, DASHES, strict=False)
    return [Series(name, colour, dash=dash) for name, colour, dash in found]


def timing_chart(stages: Mapping[str, Sequence[TimingBin]]) -> Chart:
    """How long each stage took over time."""
    last = (f"{stage} {format_seconds(bins[-1].seconds)}" for stage, bins in stages.items())
    rows = []
    for stage, bins in stages.items():
        for part in reversed(bins):
            seconds = map(format_significant, (part.seconds, part.low, part.high))
            rows.append((_span(part), stage, f"{part.runs:,}", *seconds, f"{part.rows:,}"))
    enough = any(len(bins) > 1 for bins in stages.values())
    return Chart(
        key="timings",
        title=f"Seconds of the last runs: {', '.join(last) or 'none yet'}",
        summary="A line for each stage: the seconds that a run took, over time.",
        header=("when", "stage", "runs", "seconds", "least", "most", "rows"),
        rows=tuple(rows),
        picture=_draw_timings(stages) if enough else "",
        nothing="" if enough else ONE_RUN,
    )


def _draw_timings(stages: Mapping[str, Sequence[TimingBin]]) -> str:
    parts = [part for bins in stages.values() for part in bins]
    lines, most = _numbered(stages), max(part.seconds for part in parts)
    plot = Plot(time_axis(_ends(parts)), number_axis(1.1 * max(most, 0.001), "seconds"), lines)
    for series, bins in zip(lines, stages.values(), strict=True):
        seconds = [part.seconds for part in bins]
        plot.line([*map(_middle, bins)], seconds, series, markers=True)
    return plot.picture()


def client_chart(points: Sequence[RiskPoint], threshold: float | None, until: str) -> Chart:
    """One client's risk over time: it holds until the next point, the last one until `until`."""
    risks = [None if one.risk is None else format_percent(one.risk, 0) for one in points]
    known = [risk for risk in risks if risk]
    gone = ", then no longer ranked" if known and not risks[-1] else ""
    rows = [
        (format_minute(one.at), risk or "not ranked", one.release)
        for one, risk in zip(points, risks, strict=True)
    ]
    enough = len(points) > 1
    return Chart(
        key="client-risk",
        title=f"Risk over time: {f'latest {known[-1]}' if known else 'none on record'}{gone}",
        summary="Steps: the risk of leaving from each ranking that changed it, in percent.",
        header=("when", "risk", "release"),
        rows=tuple(reversed(rows)),
        picture=_draw_client(points, threshold, until) if enough else "",
        nothing="" if enough else "The line begins with the first change of the risk.",
    )


def _draw_client(points: Sequence[RiskPoint], threshold: float | None, until: str) -> str:
    moments = [*(point.at for point in points), until]
    x, at = time_axis(moments), [place_of(moment) for moment in moments]
    drawn = (_RISK,) if threshold is None else (_RISK, _THRESHOLD)
    plot = Plot(x, percent_axis("risk, percent"), drawn)
    values = [math.nan if point.risk is None else 100 * point.risk for point in points]
    steps = [at[0], *(when for when in at[1:-1] for _ in range(2)), at[-1]]
    plot.line(steps, [value for value in values for _ in range(2)], _RISK)
    for when, value in zip(at[:-1], values, strict=True):
        plot.dot(when, value, MAIN)
    if threshold is not None:
        plot.line([x.low, x.high], [100 * threshold] * 2, _THRESHOLD)
    return plot.picture()


def _ends(bins: Iterable[ScoreBin | TimingBin]) -> list[str]:
    return [moment for part in bins for moment in (part.first, part.last)]


def _middle(part: ScoreBin | TimingBin) -> float:
    return (place_of(part.first) + place_of(part.last)) / 2


def _span(part: ScoreBin | TimingBin) -> str:
    """From when to when, for a table."""
    return " to ".join(dict.fromkeys(map(format_minute, (part.first, part.last))))
