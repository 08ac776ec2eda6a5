"""From any checkpoint to what a task starts from, with a proof."""
