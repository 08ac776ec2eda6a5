"""Finds and reads records and the evidence beside them; refuses what is not what it claims to be."""
