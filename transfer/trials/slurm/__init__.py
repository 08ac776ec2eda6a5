"""Trials as jobs of a Slurm cluster, through submitit: ``--launcher slurm``."""
