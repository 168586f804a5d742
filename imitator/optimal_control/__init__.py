"""Trajectory optimisation without training: model-predictive iLQR, its linear models, costs and plans."""
