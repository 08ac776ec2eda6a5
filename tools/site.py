"""A hook of MkDocs (mkdocs.yml): pages of the site whose text lies outside docs/, and the links between all of them."""

from __future__ import annotations

import json
import posixpath
import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
# page of the site to the file in the checkout
ELSEWHERE = {
    "index.md": "README.md",
    "contributing.md": "CONTRIBUTING.md",
    "changelog.md": "CHANGELOG.md",
    "notebook.md": "docs/notebook.ipynb",
    "packages/pretrain.md": "pretrain/README.md",
    "packages/digits.md": "twist_common/digits/README.md",
    **{
        f"packages/{name}.md": f"transfer/{name}/README.md"
        for name in ("weights", "tasks", "trials", "planner", "report")
    },
}
ROLE = re.compile(r":(?:class|func|meth|mod|data|attr):(?=<code>)")
LINK = re.compile(r"(?<=\]\()(?!\w+:|#)([^)\s#]+)")


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Adds the pages of :data:`ELSEWHERE`."""
    from mkdocs.structure.files import File

    for page, path in ELSEWHERE.items():
        text = (ROOT / path).read_text(encoding="utf-8")
        files.append(File.generated(config, page, content=_cells(text) if path.endswith(".ipynb") else text))
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turns links between files of the checkout into links between pages."""
    uri = page.file.src_uri
    home = posixpath.dirname(ELSEWHERE.get(uri, f"docs/{uri}"))
    pages = {path: name for name, path in ELSEWHERE.items()}

    def on_site(link: re.Match[str]) -> str:
        path = posixpath.normpath(posixpath.join(home, link[1]))
        target = pages.get(path, path.removeprefix("docs/"))
        return posixpath.relpath(target, posixpath.dirname(uri) or ".")

    return LINK.sub(on_site, markdown)


def on_page_content(html: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Leaves the roles of docstrings out (``:class:`` and others), whose names are shown as code."""
    return ROLE.sub("", html)


def _cells(notebook: str) -> str:
    """A notebook as Markdown, its code without outputs."""
    cells = ((cell["cell_type"], "".join(cell["source"])) for cell in json.loads(notebook)["cells"])
    return "\n\n".join(text if kind == "markdown" else f"```python\n{text}\n```" for kind, text in cells) + "\n"
