"""Data sets of captioned motion: folders of clips, HumanML3D as published; prepared once, read as they are needed."""

from .motion_set import MotionSet, open_motion_set

__all__ = ["MotionSet", "open_motion_set"]
