"""Training through a learned model of the world: the model, windows it learns from, imagined roll-outs, the trainer."""
