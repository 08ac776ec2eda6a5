"""Pages of one file that need nothing else: ``report.html`` and the frame that ``board.html`` shares."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from pathlib import Path

from transfer.report.lay_out.document import Document

TEMPLATES = Path(__file__).parent


def render_html(document: Document) -> str:
    """The report's page, with style, plots and pictures inside."""
    from markupsafe import Markup

    # What is markup already: plots whose texts inline_svg has escaped.
    return render_page("report.html", ["report.css"], ["sort.js"], document=document, markup=Markup)


def render_page(template: str, styles: Sequence[str], scripts: Sequence[str], **content: object) -> str:
    """A page of one file; its policy lets in these scripts and nothing else, whatever names the records hold."""
    import jinja2
    from markupsafe import Markup

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    # Our own style sheets and scripts are markup already.
    style, script = (
        "".join((TEMPLATES / name).read_text(encoding="utf-8") for name in names) for names in (styles, scripts)
    )
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    allowed = f"style-src 'unsafe-inline'; script-src 'sha256-{digest}'; img-src data:"
    return environment.get_template(template).render(
        style=Markup(style),
        script=Markup(script),
        policy=f"default-src 'none'; {allowed}; base-uri 'none'",
        **content,
    )
