"""Classification with few labels: a linear classifier on frozen features, and fine-tuning of the whole network."""
