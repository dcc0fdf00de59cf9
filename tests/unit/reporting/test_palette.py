"""Colours that everybody can tell apart, and letters that everybody can read."""

import re
from itertools import combinations, pairwise

import numpy as np
import pytest

from pipeline.reporting import picture
from pipeline.reporting.html import static
from pipeline.reporting.model_charts import BANDS
from pipeline.reporting.picture import COLOURS, SERIES

# severity 1.0, on linear RGB. Source: Machado, Oliveira and Fernandes, A Physiologically-based
# Model for Simulation of Color Vision Deficiency, IEEE TVCG 15(6), 2009, table 1.
SEEN = {
    "by most": np.eye(3),
    "without red": np.array(
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ]
    ),
    "without green": np.array(
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ]
    ),
    "in grey": np.array([[0.2126, 0.7152, 0.0722]] * 3),
}
TO_XYZ = np.array(
    [
        [0.4124564, 0.3575761, 0.1804375],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339, 0.1191920, 0.9503041],
    ]
)
WHITE = TO_XYZ.sum(axis=1)
EASILY = 10.0  # CIE76; 2.3 is just noticeable


def linear(colour: str) -> np.ndarray:
    """A colour such as #0b4f8a in linear RGB."""
    values = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def lab(rgb: np.ndarray) -> np.ndarray:
    """CIE L*a*b*, D65, of linear RGB."""
    relative = TO_XYZ @ np.clip(rgb, 0, 1) / WHITE
    f = np.where(relative > 216 / 24389, np.cbrt(relative), (24389 / 27 * relative + 16) / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def apart(one: str, other: str, seen: np.ndarray) -> float:
    """CIE76: how far two colours are from each other for somebody."""
    return float(np.linalg.norm(lab(seen @ linear(one)) - lab(seen @ linear(other))))


def contrast(one: str, other: str) -> float:
    """The contrast ratio of WCAG 2.2."""
    dark, light = sorted(float(SEEN["in grey"][0] @ linear(colour)) for colour in (one, other))
    return (light + 0.05) / (dark + 0.05)


def variables(rule: str) -> dict[str, str]:
    """The colours that a part of the sheet sets."""
    sheet = static("page.css")
    block = re.findall(r":root \{(.*?)\}", sheet.split(rule, 1)[1], flags=re.DOTALL)[0]
    return dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", block))


THEMES = {
    "light": variables("/* One sheet"),
    "dark": variables("(prefers-color-scheme: dark)"),
    "print": variables("@media print"),
}


def test_the_simulation_is_right() -> None:
    assert lab(linear("#ff0000")) == pytest.approx([53.24, 80.09, 67.20], abs=0.02)
    assert lab(linear("#ffffff")) == pytest.approx([100, 0, 0], abs=0.01)
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.005)
    for name, matrix in SEEN.items():
        assert matrix.sum(axis=1) == pytest.approx([1, 1, 1], abs=2e-6), name  # white stays white


@pytest.mark.parametrize("seen", ["by most", "without red", "without green"])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_two_series_differ_for_everybody(theme: str, seen: str) -> None:
    colours = [THEMES[theme][f"series-{i}"] for i in range(1, 7)]
    close = [
        (one, other, round(apart(one, other, SEEN[seen]), 1))
        for one, other in combinations(colours, 2)
        if apart(one, other, SEEN[seen]) < EASILY
    ]
    assert close == []


def test_bands_of_the_distribution_are_darker_the_higher_on_paper() -> None:
    white = np.ones(3)
    lights = [
        float(lab(SEEN["in grey"] @ (linear(colour) * share + white * (1 - share)))[0])
        for colour, share in ((COLOURS[band.colour], band.opacity) for band in BANDS)
    ]
    assert lights == sorted(lights, reverse=True)
    assert min(before - after for before, after in pairwise(lights)) >= EASILY


@pytest.mark.parametrize("theme", THEMES)
def test_series_stand_out_from_the_paper(theme: str) -> None:
    colours = THEMES[theme]
    low = {
        name: round(contrast(colour, colours["paper"]), 2)
        for name, colour in colours.items()
        if name.startswith("series") and contrast(colour, colours["paper"]) < 3
    }
    assert low == {}


@pytest.mark.parametrize("theme", THEMES)
def test_letters_can_be_read_on_paper_and_panel(theme: str) -> None:
    colours = THEMES[theme]
    letters = ("ink", "muted", "link", "good", "warning", "bad")
    low = [
        (name, ground)
        for name in letters
        for ground in ("paper", "panel")
        if contrast(colours[name], colours[ground]) < 4.5
    ]
    assert low == []
    for strong in ("bad", "link"):  # letters of a band and of a button
        assert contrast(colours["on-strong"], colours[strong]) >= 4.5


@pytest.mark.parametrize("theme", THEMES)
def test_edges_of_what_is_used_stand_out(theme: str) -> None:
    assert contrast(THEMES[theme]["line"], THEMES[theme]["paper"]) >= 3
    if theme != "print":
        assert contrast(THEMES[theme]["focus"], THEMES[theme]["paper"]) >= 3


def test_the_sheet_has_the_colours_of_the_pictures() -> None:
    for theme in ("light", "print"):
        assert tuple(THEMES[theme][f"series-{i}"] for i in range(1, 7)) == SERIES
    light = THEMES["light"]
    assert (light["ink"], light["muted"], light["grid"], light["paper"]) == (
        *(picture.INK, picture.MUTED, picture.GRID, picture.PAPER),
    )
