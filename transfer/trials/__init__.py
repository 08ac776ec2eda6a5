"""Runs the trials that have no record yet, on this machine or on a Slurm cluster."""
