"""The content of a report without markup: tables, cards, figures."""
