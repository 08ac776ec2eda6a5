"""Semantic segmentation transfer: MMSegmentation's models, data sets and metric, driven by MMEngine's Runner."""
