"""Neural networks: backbones, radial bases, heads. Knows nothing of files, configurations or engines."""
