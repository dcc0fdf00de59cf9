"""A chart as page, report and PDF show it: a picture, what it shows, and its numbers."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from html import escape

from matplotlib.figure import Figure

from pipeline.reporting.charts.style import GRID, INK, MUTED, SERIES, new_figure, styled, svg_of

_VARIABLES = {INK: "ink", MUTED: "muted", GRID: "grid"} | {
    colour: f"series-{number}" for number, colour in enumerate(SERIES, start=1)
}
_COLOUR = re.compile("|".join(_VARIABLES))
_BEFORE = re.compile(r"^.*?(?=<svg)", re.DOTALL)
_NOISE = re.compile(r"<metadata>.*?</metadata>|<style type=.*?</style>|<!--.*?-->", re.DOTALL)
_ROOT = re.compile(r'<svg [^>]*?viewBox="([^"]*)"[^>]*>')
_STYLE = re.compile(r' style="([^"]*)"')
_FONT = re.compile(r"(?:(bold|italic|\d{3}) )?([\d.]+)px .*")
_IDENTITY = re.compile(r' id="([^"]*)"')
_USED = re.compile(r'(?:url\(|href=")#([^)"]*)')
_LETTERS = re.compile(r'>[^<>]*["#][^<>]*<')  # that could be taken for attributes
_SPACES = re.compile(r">\s+<")
Row = tuple[str, ...]


@dataclass(frozen=True)
class Chart:
    """A chart that can be drawn; `key` names it among all others."""

    key: str
    title: str  # what it shows
    summary: str  # the same for those who do not see it, and how to read it
    header: Row
    rows: tuple[Row, ...]  # the numbers, as the table below the picture has them
    draw: Callable[[Figure], None]
    nothing: str = ""  # in place of the picture, where there is too little to draw

    def svg(self) -> str:
        """The chart as an element of a page, with its letters as text."""
        return inline_svg(self._document("none"), self.key, self.title, self.summary)

    def drawing(self) -> str:
        """The chart as an SVG document without any text: its letters are drawn."""
        return self._document("path")

    def _document(self, letters: str) -> str:
        with styled(**{"svg.fonttype": letters}):
            figure = new_figure()
            self.draw(figure)
            return svg_of(figure)


def inline_svg(document: str, key: str, title: str, summary: str) -> str:
    """A document of `svg_of` (its letters as text) as an element that says what it shows.

    Colours of the style become the page's variables, so that they follow light and dark; style
    attributes become others, which a strict content security policy lets pass. `key` is the part
    of the element's ids that no other on the page has.
    """
    text = _NOISE.sub("", _BEFORE.sub("", document)).replace(" xlink:href=", " href=")
    text = _LETTERS.sub(lambda found: found[0].replace('"', "&quot;").replace("#", "&#35;"), text)
    used = set(_USED.findall(text))
    text = _IDENTITY.sub(lambda found: f' id="{key}-{found[1]}"' if found[1] in used else "", text)
    text = _USED.sub(lambda found: f"{found[0][: -len(found[1])]}{key}-{found[1]}", text)
    text = _STYLE.sub(lambda found: "".join(_attributes(found[1])), text)
    text = _COLOUR.sub(lambda found: f"var(--{_VARIABLES[found[0]]})", text)
    return _SPACES.sub("><", _ROOT.sub(lambda found: _root(found[1], key, title, summary), text, 1))


def _root(box: str, key: str, title: str, summary: str) -> str:
    names = f"{key}-title {key}-summary"
    return (
        f'<svg viewBox="{box}" role="img" aria-labelledby="{names}">'
        f'<title id="{key}-title">{escape(title)}</title>'
        f'<desc id="{key}-summary">{escape(summary)}</desc>'
    )


def _attributes(style: str) -> list[str]:
    """The declarations of a style attribute as attributes of their own."""
    attributes = []
    for declaration in filter(None, map(str.strip, style.split(";"))):
        name, _, value = map(str.strip, declaration.partition(":"))
        if name == "font-family":  # the page's own
            continue
        if name == "font" and (font := _FONT.fullmatch(value)):
            weight = f' font-weight="{font[1]}"' if font[1] else ""
            attributes.append(f' font-size="{font[2]}"{weight}')
        else:
            attributes.append(f' {name}="{value}"')
    return attributes
