"""Batched physics: the protocol, its two backends, kinematics, servos, models that vary."""
