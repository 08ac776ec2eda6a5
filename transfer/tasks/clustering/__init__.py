"""Unsupervised classification: how well predicted clusters agree with labels."""
