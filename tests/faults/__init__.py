"""A task that fails on demand, to see what the trial runner makes of it."""
