"""What a trial found for each test image (:mod:`transfer.outcomes.file`); no framework is imported."""
