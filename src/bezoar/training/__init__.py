"""Training: the Method contract, the loader and the one loop."""
