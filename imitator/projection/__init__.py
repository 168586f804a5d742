"""Clips through physics: by the policy, by the trajectory optimiser, and what of a failed clip can be kept."""
