"""The report as one file of HTML that needs nothing else, and what report and PDF tell."""

from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from pipeline.reporting.document import Section, State
from pipeline.reporting.rendering import rendered, static

TITLE = "Clients about to leave"


@dataclass(frozen=True)
class ReportContent:
    """What HTML and PDF tell alike."""

    made_at: str  # to the minute
    release: str
    state: State
    sections: tuple[Section, ...]
    card: Path  # the whole model card

    @property
    def made(self) -> str:
        """When it was made, and of what, for a person."""
        return f"Report of {self.made_at} UTC, of release {self.release}"


def report_html(content: ReportContent) -> str:
    """The report for a browser, from a disk or a mail as well as from a server."""
    card = content.card.read_text(encoding="utf-8") if content.card.is_file() else ""
    text = rendered(
        "report.html",
        title=TITLE,
        made=content.made,
        state=content.state,
        sections=content.sections,
        card=card,
        style=Markup(static("page.css")),
    )
    return f"{text.lstrip()}\n"
