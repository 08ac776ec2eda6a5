"""Protocols of classification and clustering."""
