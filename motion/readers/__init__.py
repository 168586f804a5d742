"""Readers of motion files: each turns a published layout into a Clip or JointTrack in our axes, or refuses it."""

from .find import find_motions, read_motion, read_motions

__all__ = ["find_motions", "read_motion", "read_motions"]
