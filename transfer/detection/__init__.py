"""Detection and instance segmentation with Detectron2. Importing this package imports no framework."""
