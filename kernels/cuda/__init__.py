"""The primitives on a CUDA device: their sources, launchers, split weights and captured graphs."""
