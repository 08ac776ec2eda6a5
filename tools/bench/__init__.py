"""Harnesses that time and compare hot spots: ``python -m tools.bench.main`` and one module a subject."""
