"""``tools/bench.sh``: times hot spots against plain implementations. ``main`` is the command, ``case`` lists the cases."""
