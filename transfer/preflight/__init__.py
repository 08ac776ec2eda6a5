"""Everything that is checked before the first trial."""
