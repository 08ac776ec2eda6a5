"""The forms of a report: HTML, Markdown, LaTeX, CSV, JSON and archives."""
