"""The commands behind ``tools/*.sh``, one module each, and what they share."""
