"""Whether contacting helped, in sentences and tables."""

from collections.abc import Iterator

from pipeline.action.effect import Compared, Effect
from pipeline.core.formatting import format_horizon, format_percent, pluralize
from pipeline.monitoring.bootstrap import Difference
from pipeline.reporting.document import Grid, Section, grid_lines

SAME = 0.0005  # of a share: it is shown alike
MANY = (
    "Each interval misses the truth once in twenty times: of many parts, some look better or worse"
    " than all by chance alone."
)
WEIGHTED = (
    "The shares are those of all campaigns, each with the weight of all its clients: control groups"
    " were of different shares, so that plain ones could not be compared."
)
NO_CONTROL = (
    "There is no control group to compare with: set control_share, for example to 0.1, and one in"
    " ten of those who would be proposed is left alone."
)


def effect_section(effect: Effect | None) -> Section | None:
    """Whether contacting helped; None before the first campaign."""
    if effect is None or not effect.campaigns:
        return None
    grids, notes = [_groups_grid(effect)], [*_notes(effect)]
    if parts := (*effect.bands, *effect.segments):
        grids.append(_parts_grid(parts))
        notes.append(MANY)
    lead = _finding(effect)
    return Section("effect", "Did contacting help", lead, grids=tuple(grids), notes=tuple(notes))


def effect_lines(effect: Effect) -> list[str]:
    """The same for a terminal."""
    section = effect_section(effect)
    if section is None:
        return ["no campaign has begun: it takes a control_share, for example 0.1, and a run"]
    tables = [line for grid in section.grids for line in ("", *grid_lines(grid))]
    return [section.lead, *tables, "", *section.notes]


def _finding(effect: Effect) -> str:
    """What was found, in words."""
    found, by = effect.overall, format_horizon(effect.horizon_days) or " until now"
    if not (found.control.clients or found.control.waiting or found.control.unknown):
        return NO_CONTROL
    if found.difference is None:
        return f"Too early to say: of no campaign is it known yet who left{by} in both groups."
    less = found.difference
    said = (
        f"Of those proposed, contacted or not, {format_percent(found.share_left)} left{by}, of the"
        f" control group {format_percent(found.share_left_control)}: a difference of"
        f" {100 * less.value:.1f} points (95 % interval {100 * less.low:.1f} to"
        f" {100 * less.high:.1f})."
    )
    if found.save_rate is None:
        return f"{said} That is too little to say what a contact keeps."
    rate, bounds = _bounded(found.save_rate, 0, " %").split(" (")
    kept = f"Of clients who would leave, a contact keeps {rate} (95 % interval {bounds}"
    doubt = "" if found.save_rate.low > 0 else ": it may be that contacts keep nobody"
    return f"{said} {kept}{doubt}."


def _notes(effect: Effect) -> Iterator[str]:
    groups = effect.overall.proposed, effect.overall.control
    share, plain = effect.overall.share_left, groups[0].left / max(1, groups[0].clients)
    if share is not None and abs(share - plain) > SAME:
        yield WEIGHTED
    if waiting := sum(one.waiting for one in groups):
        horizon = format_horizon(effect.horizon_days).removeprefix(" within")
        until = f"until{horizon} have passed and rows tell" if horizon else "for the next rows"
        yield f"{pluralize(waiting, 'client')} still count in neither group: wait {until}."
    if unknown := sum(one.unknown for one in groups):
        shares = [one.unknown / max(1, one.clients + one.unknown) for one in groups]
        yield (
            f"Of {pluralize(unknown, 'client')} no row tells what became of them"
            f" ({format_percent(shares[0])} of those proposed, {format_percent(shares[1])} of the"
            " control group); they are left out. Where leavers are heard of sooner than those who"
            " stay, both shares are too high."
        )
    if crossed := effect.overall.control.contacted:
        share = crossed / effect.overall.control.clients
        yield (
            f"{format_percent(share)} of the control group were contacted all the same; the save"
            " rate takes that into account."
        )
    rate = format_percent(effect.assumed_rate, 0)
    if effect.needed is None:
        yield f"How many clients it takes to see a save rate of {rate} cannot be said yet."
    else:
        more = "as many are drawn" if not effect.more else f"{effect.more:,} more have to be drawn"
        yield (
            f"To see a save rate of {rate} in four of five cases takes"
            f" {pluralize(effect.needed, 'client')} in both groups: {more}."
        )


def _groups_grid(effect: Effect) -> Grid:
    campaigns = pluralize(effect.campaigns, "campaign")
    until = f", rows until {effect.until}" if effect.until else ""
    found, rows = effect.overall, []
    for name, group, share in (
        ("proposed", found.proposed, found.share_left),
        ("control group", found.control, found.share_left_control),
    ):
        counts = group.clients, group.contacted, group.left, group.waiting, group.unknown
        texts = [f"{count:,}" for count in counts]
        rows.append((name, *texts[:3], format_percent(share), *texts[3:]))
    header = ("group", "clients", "contacted", "left", "share", "too early", "not known")
    return Grid(f"{campaigns} since {effect.since}{until}", header, tuple(rows))


def _parts_grid(parts: tuple[Compared, ...]) -> Grid:
    return Grid(
        "What a contact keeps, by part of the clients, with 95 % intervals",
        ("column", "value", "proposed", "control", "difference, points", "save rate"),
        tuple(
            (
                *(one.column, one.value),
                *(f"{one.proposed.clients:,}", f"{one.control.clients:,}"),
                _bounded(one.difference, 1),
                _bounded(one.save_rate, 0, " %"),
            )
            for one in parts
        ),
    )


def _bounded(found: Difference | None, decimals: int, unit: str = "") -> str:
    """A share in percent, and its interval."""
    if found is None:
        return "-"
    value, low, high = (f"{100 * one:.{decimals}f}" for one in (found.value, found.low, found.high))
    return f"{value}{unit} ({low} to {high})"
