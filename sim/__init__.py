"""Bodies built in code, batched physics on CPU and GPU, rendering and replay."""

from .bodies import carry, driven_body, load_body, motions_on_body, on_body, read_on_body, worn
from .body import CONTROL_HZ, FEET, PHYSICS_HZ, SUBSTEPS, Body, SurfacePoints, default_body
from .certificate import Certificate, certify
from .gl import gl_available
from .kinematics import JointState, Kinematics
from .mjcf_body import RobotBody
from .mujoco_log import warnings_to_log
from .physics import DIVERGED, Backend, CpuPhysics, LostState, Physics, make_physics, model_values
from .render import Video, ffmpeg_available, render_strip, render_video, strip_bytes, video_bytes
from .replay import CONTACT_FORCE, Recorder, Substep, replay, simulator_name
from .servos import Servos, servo_slopes
from .shaped_body import ShapedBody
from .smpl_body import SmplBody
from .variation import ModelFields, Variation, many_bodies

__all__ = [
    "CONTACT_FORCE",
    "CONTROL_HZ",
    "DIVERGED",
    "FEET",
    "PHYSICS_HZ",
    "SUBSTEPS",
    "Backend",
    "Body",
    "Certificate",
    "CpuPhysics",
    "JointState",
    "Kinematics",
    "LostState",
    "ModelFields",
    "Physics",
    "Recorder",
    "RobotBody",
    "Servos",
    "ShapedBody",
    "SmplBody",
    "Substep",
    "SurfacePoints",
    "Variation",
    "Video",
    "carry",
    "certify",
    "default_body",
    "driven_body",
    "ffmpeg_available",
    "gl_available",
    "load_body",
    "make_physics",
    "many_bodies",
    "model_values",
    "motions_on_body",
    "on_body",
    "read_on_body",
    "render_strip",
    "render_video",
    "replay",
    "servo_slopes",
    "simulator_name",
    "strip_bytes",
    "video_bytes",
    "worn",
]

warnings_to_log()
