"""Bodies built in code, batched physics on CPU and GPU, rendering and replay."""

from typing import TYPE_CHECKING

from morphloop.base.on_demand import names_of

if TYPE_CHECKING:
    from .bodies.body import FEET, Body
    from .bodies.built_in import BUILT_IN, default_body, known_robot
    from .bodies.choose import (
        body_of_robot,
        carry,
        driven_body,
        for_tracking,
        load_body,
        motions_on_body,
        on_body,
        read_on_body,
        robot_of,
        whose_motions,
        worn,
    )
    from .bodies.description import BodyDescription
    from .bodies.driven_robot import DrivenRobot
    from .bodies.mjcf_body import RobotBody
    from .bodies.robot_file import description_path, open_robot
    from .bodies.shaped_body import ShapedBody
    from .bodies.smpl_body import SmplBody
    from .bodies.stances import planted_feet
    from .bodies.stand import blended, standing
    from .bodies.support import SurfacePoints
    from .drawing.gl import gl_available
    from .drawing.render import Video, ffmpeg_available, render_strip, render_video, strip_bytes, video_bytes
    from .physics.backends import make_physics
    from .physics.config import Backend, Variation
    from .physics.cpu import CpuPhysics
    from .physics.kinematics import JointState, Kinematics
    from .physics.protocol import DIVERGED, DivergedState, Physics, model_values
    from .physics.servos import Servos, servo_slopes
    from .physics.variation import ModelFields, many_bodies
    from .retargeting.retarget import RetargetFigures, retarget, retarget_figures
    from .rollouts.certificate import Certificate, certify
    from .rollouts.replay import Recorder, Substep, replay, simulator_name
else:
    __getattr__ = names_of(
        __name__,
        {
            "bodies.body": (
                "Body",
                "FEET",
            ),
            "bodies.built_in": (
                "BUILT_IN",
                "default_body",
                "known_robot",
            ),
            "bodies.choose": (
                "body_of_robot",
                "carry",
                "driven_body",
                "for_tracking",
                "load_body",
                "motions_on_body",
                "on_body",
                "read_on_body",
                "robot_of",
                "whose_motions",
                "worn",
            ),
            "bodies.description": ("BodyDescription",),
            "bodies.driven_robot": ("DrivenRobot",),
            "bodies.mjcf_body": ("RobotBody",),
            "bodies.robot_file": ("description_path", "open_robot"),
            "bodies.shaped_body": ("ShapedBody",),
            "bodies.smpl_body": ("SmplBody",),
            "bodies.stances": ("planted_feet",),
            "bodies.stand": ("blended", "standing"),
            "bodies.support": ("SurfacePoints",),
            "drawing.gl": ("gl_available",),
            "drawing.render": (
                "Video",
                "ffmpeg_available",
                "render_strip",
                "render_video",
                "strip_bytes",
                "video_bytes",
            ),
            "physics.backends": ("make_physics",),
            "physics.config": (
                "Backend",
                "Variation",
            ),
            "physics.cpu": ("CpuPhysics",),
            "physics.kinematics": (
                "JointState",
                "Kinematics",
            ),
            "physics.protocol": (
                "DIVERGED",
                "DivergedState",
                "Physics",
                "model_values",
            ),
            "physics.servos": (
                "Servos",
                "servo_slopes",
            ),
            "physics.variation": (
                "ModelFields",
                "many_bodies",
            ),
            "retargeting.retarget": (
                "RetargetFigures",
                "retarget",
                "retarget_figures",
            ),
            "rollouts.certificate": (
                "Certificate",
                "certify",
            ),
            "rollouts.replay": (
                "Recorder",
                "RetargetFigures",
                "Substep",
                "replay",
                "simulator_name",
            ),
        },
    )

__all__ = [
    "BUILT_IN",
    "DIVERGED",
    "FEET",
    "Backend",
    "Body",
    "BodyDescription",
    "Certificate",
    "CpuPhysics",
    "DivergedState",
    "DrivenRobot",
    "JointState",
    "Kinematics",
    "ModelFields",
    "Physics",
    "Recorder",
    "RetargetFigures",
    "RobotBody",
    "Servos",
    "ShapedBody",
    "SmplBody",
    "Substep",
    "SurfacePoints",
    "Variation",
    "Video",
    "blended",
    "body_of_robot",
    "carry",
    "certify",
    "default_body",
    "description_path",
    "driven_body",
    "ffmpeg_available",
    "for_tracking",
    "gl_available",
    "known_robot",
    "load_body",
    "make_physics",
    "many_bodies",
    "model_values",
    "motions_on_body",
    "on_body",
    "open_robot",
    "planted_feet",
    "read_on_body",
    "render_strip",
    "render_video",
    "replay",
    "retarget",
    "retarget_figures",
    "robot_of",
    "servo_slopes",
    "simulator_name",
    "standing",
    "strip_bytes",
    "video_bytes",
    "whose_motions",
    "worn",
]
