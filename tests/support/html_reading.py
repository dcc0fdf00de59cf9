"""Pages as a browser reads them, strictly."""

from html.parser import HTMLParser


class Read(HTMLParser):
    """The tags of a page, its words and its links; fails where tags do not nest."""

    VOID = ("meta", "link", "input", "br", "img")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.links: list[str] = []
        self.ids: list[str] = []
        self.words = ""
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.words += " " * (tag in ("th", "td"))
        result = dict(attrs)
        assert len(result) == len(attrs), f"{tag} has an attribute twice"
        assert "style" not in result
        assert not [name for name in result if name.startswith("on")]
        names = ("href", "src", "action", "data")
        self.links += [link for name in names if (link := result.get(name)) is not None]
        self.ids += [result["id"] or ""] if "id" in result else []
        if tag not in self.VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in self.VOID:
            self._open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words += data
