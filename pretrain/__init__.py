"""TWIST pre-training: recipe, data, augmentation, model, loss, optimiser, schedule, training loop."""
