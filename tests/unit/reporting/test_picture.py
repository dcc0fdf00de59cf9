"""A chart within a page: small, well-formed, in the page's colours, and nobody's script."""

from xml.etree import ElementTree

import msgspec
import pytest

from pipeline.reporting.picture import (
    ALARM,
    DASHES,
    MAIN,
    Chart,
    Plot,
    Series,
    number_axis,
    percent_axis,
    svg,
    svg_file,
)

HOSTILE = """</title><script>alert("1")</script>&'"""
SVG = "{http://www.w3.org/2000/svg}"


def chart(key: str = "some", text: str = "a title", *, label: str = "a line") -> Chart:
    one, other = Series(label, MAIN), Series("b", ALARM, dash=DASHES[1])
    plot = Plot(number_axis(2, label), percent_axis("y"), (one, other))
    plot.line([0, 1, 2], [10, float("nan"), 20], one, markers=True)
    plot.line([0, 1, 2], [20, 10, 50], other)
    plot.area([(0, 0), (1, 10), (1, 20)], "series-3", 0.2)
    plot.mark(1.9, label, "#123456", DASHES[2])
    return Chart(key, text, f"{text}, in more words.", ("x",), (("1",),), plot.picture())


def parsed(one: Chart) -> ElementTree.Element:
    return ElementTree.fromstring(svg(one))


def test_it_is_one_well_formed_element_without_style_and_script() -> None:
    found = parsed(chart())
    names = {name for element in found.iter() for name in element.attrib}

    assert svg(chart()).startswith("<svg ")
    assert "style" not in names
    assert not [name for name in names if name.startswith("on")]
    assert {element.tag for element in found.iter()} == {
        *("svg", "title", "desc", "polyline", "polygon", "circle", "text"),
    }


def test_it_says_what_it_shows_by_ids_of_its_own() -> None:
    found = parsed(chart())
    title, desc = list(found)[:2]

    assert (found.get("role"), found.get("aria-labelledby")) == ("img", "some-title some-summary")
    assert (title.get("id"), title.text) == ("some-title", "a title")
    assert (desc.get("id"), desc.text) == ("some-summary", "a title, in more words.")
    assert [element.get("id") for element in found.iter() if element.get("id")] == [
        *("some-title", "some-summary"),
    ]


@pytest.mark.parametrize("text", [HOSTILE, "a & b", 'style="x" id="y"', "#0b4f8a", "style='a'"])
def test_texts_are_texts_whatever_they_hold(text: str) -> None:
    found = parsed(chart(text=text, label=text))
    title, desc = list(found)[:2]

    assert (title.text, desc.text) == (text, f"{text}, in more words.")
    assert [element.text for element in found.iter("text")].count(text) == 3
    assert "script" not in {element.tag for element in found.iter()}


def test_colours_are_those_of_the_page() -> None:
    found = parsed(chart())

    colours = {e.get(name) for e in found.iter() for name in ("fill", "stroke")} - {None, "none"}
    assert colours == {
        *(f"var(--{name})" for name in ("series-1", "series-2", "series-3")),
        *(f"var(--{name})" for name in ("ink", "muted", "grid")),
        "#123456",
    }
    assert "var(" not in svg_file(chart(), "DejaVu")


def test_it_is_the_same_after_it_was_kept_as_json() -> None:
    assert msgspec.json.decode(msgspec.json.encode(chart()), type=Chart) == chart()


def test_a_legend_and_two_lines_are_small() -> None:
    assert len(svg(chart())) < 8_000
