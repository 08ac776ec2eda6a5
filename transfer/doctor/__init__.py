"""Is a data set complete, readable and laid out as its benchmark wants it? Imports neither torch nor a framework."""
