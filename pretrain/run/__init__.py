"""A training run: its steps, optimiser, checkpoints and ends."""
