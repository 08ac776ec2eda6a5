"""Finds and reads records, and what else is beside them; refuses what is not what it seems."""
