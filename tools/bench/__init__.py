"""``tools/bench.sh``: hot spots timed against plain implementations; ``case`` lists them, ``main`` is the command."""
