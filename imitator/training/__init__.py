"""The policy, and how reinforcement learning trains it: trainers, priors, checkpoints, references, the log."""
