"""What both stages share: errors for the user, files that are never half written, command lines, embedded data."""
