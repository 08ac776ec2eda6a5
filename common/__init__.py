"""What both stages share: the user's errors, files that are never half written, command lines, embedded data."""
