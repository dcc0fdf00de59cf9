"""A chart within a page: small, well-formed, in the page's colours, and nobody's script."""

import re
from xml.etree import ElementTree

import pytest
from matplotlib.figure import Figure

from pipeline.reporting.charts.chart import Chart
from pipeline.reporting.charts.style import ALARM, MAIN, SERIES, plain_axes

HOSTILE = """</title><script>alert("1")</script>&'"""
SVG = "{http://www.w3.org/2000/svg}"


def chart(key: str = "some", text: str = "a title", *, label: str = "a line") -> Chart:
    def draw(figure: Figure) -> None:
        axes = plain_axes(figure)
        axes.plot([0, 1, 2], [1, 3, 2], color=MAIN, marker="o", label=label)
        axes.plot([0, 1, 2], [2, 1, 5], color=ALARM, ls="--")
        axes.fill_between([0, 1], [0, 1], [1, 2], color=SERIES[2], alpha=0.2)
        axes.set_xlabel(label)
        axes.legend()

    return Chart(key, text, f"{text}, in more words.", ("x",), (("1",),), draw)


def parsed(one: Chart) -> ElementTree.Element:
    return ElementTree.fromstring(one.svg())


def test_it_is_one_well_formed_element() -> None:
    assert parsed(chart()).tag in (f"{SVG}svg", "svg")
    assert chart().svg().startswith("<svg ")
    assert "<!DOCTYPE" not in chart().svg()


def test_it_has_no_style_and_no_script() -> None:
    names = {name for element in parsed(chart()).iter() for name in element.attrib}
    tags = {element.tag.removeprefix(SVG) for element in parsed(chart()).iter()}

    assert "style" not in names
    assert not [name for name in names if name.startswith("on")]
    assert tags <= {"svg", "title", "desc", "defs", "g", "path", "use", "text", "clipPath", "rect"}


def test_no_id_stands_twice_and_each_begins_with_the_key() -> None:
    one, other = parsed(chart("one")), parsed(chart("other"))
    ids = [element.get("id") for part in (one, other) for element in part.iter()]
    found = [name for name in ids if name]

    assert len(found) == len(set(found)) > 6
    assert all(name.startswith(("one-", "other-")) for name in found)


def test_what_is_referred_to_is_there() -> None:
    text = chart().svg()

    used = set(re.findall(r"(?:url\(|href=\")#([^)\"]+)", text))
    assert used
    assert used <= set(re.findall(r' id="([^"]+)"', text))


def test_it_says_what_it_shows() -> None:
    svg = parsed(chart())
    title, desc = list(svg)[:2]

    assert (svg.get("role"), svg.get("aria-labelledby")) == ("img", "some-title some-summary")
    assert (title.get("id"), title.text) == ("some-title", "a title")
    assert (desc.get("id"), desc.text) == ("some-summary", "a title, in more words.")


@pytest.mark.parametrize("text", [HOSTILE, "a & b", 'style="x" id="y"', "#0b4f8a", "style='a'"])
def test_texts_are_texts_whatever_they_hold(text: str) -> None:
    svg = parsed(chart(text=text, label=text))
    title, desc = list(svg)[:2]

    assert (title.text, desc.text) == (text, f"{text}, in more words.")
    assert [e.text for e in svg.iter() if e.tag.endswith("text")].count(text) == 2
    assert "script" not in {element.tag.removeprefix(SVG) for element in svg.iter()}


def test_colours_are_those_of_the_page() -> None:
    svg = parsed(chart())

    colours = {e.get(name) for e in svg.iter() for name in ("fill", "stroke")} - {None, "none"}
    assert colours == {
        *(f"var(--{name})" for name in ("series-1", "series-2", "series-3")),
        *(f"var(--{name})" for name in ("ink", "muted", "grid")),
    }


def test_letters_are_text_in_the_page_and_drawn_on_paper() -> None:
    assert "a line" in chart().svg()
    assert "<text" not in chart().drawing()


def test_a_legend_and_two_lines_are_small() -> None:
    assert len(chart().svg()) < 16_000
