"""What the last drift check found, as aligned tables for a terminal."""

from pipeline.monitoring.decisions import FeatureDrift
from pipeline.storage.records import Checked


def drift_lines(checked: Checked) -> list[str]:
    """What the last drift check found, for a person: by score, then by input."""
    counts = checked.drift_test
    lines = [f"last drift check, {checked.at}, of release {checked.release}"]
    for verdict in checked.scores:
        mark = "*" if verdict.test == counts else " "
        lines.append(f"{mark} {verdict.test:<14}{verdict.verdict:<21}{verdict.reason}")
    lines.append("* is the one that counts")
    if checked.input:
        names = [found.name for found in checked.input]
        wide = max(28, *(len(name) + 2 for name in names))
        lines += ["", "input beside the training data of that release"]
        head = f"{'PSI':>7}{'limit':>8}{'p':>10}{'missing %':>11}{'before %':>10}{'unseen %':>10}"
        lines.append(f"  {'feature':<{wide}}{head}  verdict")
        lines += [
            f"  {name:<{wide}}{_input_numbers(found)}"
            for name, found in zip(names, checked.input, strict=True)
        ]
    return lines


def _input_numbers(found: FeatureDrift) -> str:
    limit, p_value = _told(found.psi_limit, "8.3f"), _told(found.p_value, "10.2g")
    missing, before = f"{100 * found.missing:11.2f}", f"{100 * found.missing_before:10.2f}"
    unseen = _told(None if found.unseen is None else 100 * found.unseen, "10.2f")
    return f"{_told(found.psi, '7.3f')}{limit}{p_value}{missing}{before}{unseen}  {found.verdict}"


def _told(value: float | None, form: str) -> str:
    """A number in a table, or a dash as wide."""
    return f"{'-':>{form.split('.')[0]}}" if value is None else format(value, form)
