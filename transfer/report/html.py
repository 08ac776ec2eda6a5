"""``report.html``: one file that needs nothing else."""

from __future__ import annotations

from pathlib import Path

from transfer.report.document import Document

TEMPLATES = Path(__file__).parent


def render_html(document: Document) -> str:
    """The page, with style and plots inside."""
    import jinja2
    from markupsafe import Markup

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    # The two things that are markup already: our own style sheet, and plots whose texts inline_svg has escaped.
    style = Markup((TEMPLATES / "report.css").read_text(encoding="utf-8"))
    return environment.get_template("report.html").render(document=document, style=style, markup=Markup)
