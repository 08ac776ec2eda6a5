"""Is a data set complete, readable and laid out as its benchmark wants it? Imports neither torch nor a framework."""

from transfer.doctor.check import check_before_trials

__all__ = ["check_before_trials"]
