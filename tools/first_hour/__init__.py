"""``tools/preflight.sh``: every path at small size on a machine's own devices, in five minutes."""
