"""All that is checked before the first trial."""
