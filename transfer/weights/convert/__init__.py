"""A backbone to a framework's weight file, written only with proof that the framework computes the same features."""
