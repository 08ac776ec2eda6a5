"""Tests: unit in milliseconds, numerics against a reference, integration with the real frameworks."""
