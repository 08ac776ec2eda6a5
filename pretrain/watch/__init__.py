"""Monitoring of a run: curves, progress, detection of collapse, and diagnosis."""
