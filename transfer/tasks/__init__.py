"""What a task is, and the four that there are: detection, segmentation, classification, clustering."""
