"""Writers of motion files: each turns a Clip or JointTrack of ours into a published layout and its axes."""

from .amass import write_amass
from .arrays import write_humanml3d_features, write_humanml3d_joints
from .bvh import write_bvh
from .extras import CONTACT_KEY, Extras, FootContact
from .formats import FORMATS, Format, as_format, check_layout, write_motion
from .mjlab import write_mjlab

__all__ = [
    "CONTACT_KEY",
    "FORMATS",
    "Extras",
    "FootContact",
    "Format",
    "as_format",
    "check_layout",
    "write_amass",
    "write_bvh",
    "write_humanml3d_features",
    "write_humanml3d_joints",
    "write_mjlab",
    "write_motion",
]
