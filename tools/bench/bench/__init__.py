"""Hot spots of pre-training against plain textbook implementations: ``tools/bench.sh``."""
