"""Data sets of captioned motion: folders of clips, HumanML3D as published; prepared once, read as they are needed."""

from .motion_set import MotionSet, features_of, ids_of, lengths_of, mean_and_std, open_motion_set, texts_of

__all__ = ["MotionSet", "features_of", "ids_of", "lengths_of", "mean_and_std", "open_motion_set", "texts_of"]
