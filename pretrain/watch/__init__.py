"""What a run shows of itself: curves, progress, collapse and diagnosis."""
