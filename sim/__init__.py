"""Bodies built in code, batched physics on CPU and GPU, rendering and replay."""

from .body import CONTROL_HZ, FEET, PHYSICS_HZ, SUBSTEPS, Body, SurfacePoints, default_body
from .kinematics import JointState, Kinematics
from .physics import CpuPhysics, Physics
from .replay import CONTACT_FORCE, Certificate, Recorder, certify, simulator_name

__all__ = [
    "CONTACT_FORCE",
    "CONTROL_HZ",
    "FEET",
    "PHYSICS_HZ",
    "SUBSTEPS",
    "Body",
    "Certificate",
    "CpuPhysics",
    "JointState",
    "Kinematics",
    "Physics",
    "Recorder",
    "SurfacePoints",
    "certify",
    "default_body",
    "simulator_name",
]
