"""What a generator can do, measured on prompts and motion that trained nothing: `morphloop bench generator`."""
