"""Pre-training with one thing changed at a time, and the results side by side: ``tools/ablate.sh``."""
