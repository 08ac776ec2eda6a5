"""``report.html``: one file that needs nothing else."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

from transfer.report.lay_out.document import Document

TEMPLATES = Path(__file__).parent


def render_html(document: Document) -> str:
    """The page, with style, plots and pictures inside."""
    import jinja2
    from markupsafe import Markup

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    # What is markup already: our own style sheet and script, and plots whose texts inline_svg has escaped.
    style, script = ((TEMPLATES / name).read_text(encoding="utf-8") for name in ("report.css", "sort.js"))
    # Content security policy: this script and no other, nothing from the network, whatever names the records hold.
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    allowed = f"style-src 'unsafe-inline'; script-src 'sha256-{digest}'; img-src data:"
    return environment.get_template("report.html").render(
        document=document,
        style=Markup(style),
        script=Markup(script),
        policy=f"default-src 'none'; {allowed}; base-uri 'none'",
        markup=Markup,
    )
