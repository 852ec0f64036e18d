"""How checkpoints are laid out, by whom."""
