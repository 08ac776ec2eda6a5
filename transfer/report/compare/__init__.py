"""From records to figures and comparisons, before anything is formatted."""
