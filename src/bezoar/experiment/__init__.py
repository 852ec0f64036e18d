"""Experiments: one value that names it all, and the run that makes it true."""
