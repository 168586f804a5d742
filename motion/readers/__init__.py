"""Readers of motion files: each turns a published layout into a Clip or JointTrack in our axes, or refuses it."""

from .arrays import Layout
from .find import find_motions, read_motion, read_motions
from .formats import Format

__all__ = ["Format", "Layout", "find_motions", "read_motion", "read_motions"]
