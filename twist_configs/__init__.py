"""Protocols and recipes: data about what is run, and nothing else."""
