"""Nothing to import beforehand."""
