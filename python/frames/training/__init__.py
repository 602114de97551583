"""Training: losses, auxiliary tasks, the loop, checkpoints."""
