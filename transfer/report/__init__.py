"""Records in, report out: Markdown, HTML, CSV, LaTeX and JSON. Imports neither torch nor a framework."""
