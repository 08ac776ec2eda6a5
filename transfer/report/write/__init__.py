"""The forms of a report: HTML, Markdown, LaTeX, CSV and JSON."""
