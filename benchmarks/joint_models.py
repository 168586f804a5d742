"""Ball joints against three hinges in a row, on clips that raise the arms and on clips that stretch them forward.

    python benchmarks/joint_models.py [--clips 12] [--json FILE]

Two figures: the joint speed that a clip asks for once it is written in the model's own coordinates, and how well the
same servo gains hold the arms to the clip in physics (gravity on, standing clips, open loop from the first frame).
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from morphloop.base import write_json
from morphloop.envs.reference import generalised_velocity, pd_targets, prepare
from morphloop.motion import Clip, make_corpus
from morphloop.motion.rotations import quat_angle
from morphloop.sim import Body, Recorder, default_body

GROUPS = {"raised": ("raise_arm", "raise_arms", "wave"), "forward": ("reach", "punch")}
"""Forward is where the middle one of the default hinge order's axes comes to a right angle."""
ARM = [f"{side}_{part}" for side in ("left", "right") for part in ("collar", "shoulder", "elbow", "wrist")]
SETTLING_S = 0.3
"""The first moments are not measured: the body has to take its own weight first."""
FALLEN_M = 0.6
"""A pelvis under this height has fallen."""


def arm_clips(count: int) -> dict[str, list[Clip]]:
    """Standing corpus clips of each group, prepared."""
    drawn = make_corpus(12 * count, seed=11)
    groups = {name: [c for c in drawn if c.provenance.notes["action"] in actions] for name, actions in GROUPS.items()}
    return {name: [prepare(clip, default_body()) for clip in clips[:count]] for name, clips in groups.items()}


def joint_speeds(clip: Clip, body: Body) -> np.ndarray:
    """(T, A) speed of each arm joint, rad/s: of the rotation for a ball, of the fastest of three hinges."""
    joints = [clip.skeleton.index(name) for name in ARM]
    if body.joints == "ball":
        return np.linalg.norm(generalised_velocity(clip, body)[:, body.dof_ids[joints]], axis=-1)
    angles = body.qpos_from_clip(clip)[:, body.qpos_ids[joints]]
    return np.abs(np.gradient(angles, 1.0 / clip.fps, axis=0)).max(axis=-1)


def targets(clip: Clip, body: Body) -> np.ndarray:
    """(T, nu) PD targets, led by kd/kp seconds in both models."""
    if body.joints == "ball":
        return pd_targets(clip, body)
    model = body.model
    angles = body.qpos_from_clip(clip)[:, model.jnt_qposadr[model.actuator_trnid[:, 0]]]
    lead = -model.actuator_biasprm[:, 2] / model.actuator_gainprm[:, 0]
    return angles + lead * np.gradient(angles, 1.0 / clip.fps, axis=0)


def track(clip: Clip, body: Body) -> tuple[np.ndarray, bool]:
    """(T, A) angle between each arm joint's rotation and the clip's, radians, and whether the body fell."""
    speed = np.zeros(body.model.nv)
    ctrl = targets(clip, body)
    recorder = Recorder(body, body.qpos_from_clip(clip)[0], speed)
    for step in range(clip.num_frames - 1):
        if not recorder.step(ctrl[step + 1]):
            break
    done = body.clip_from_qpos(np.array(recorder.qpos), clip.fps)
    joints = [clip.skeleton.index(name) for name in ARM]
    error = quat_angle(done.rotations[:, joints], clip.rotations[: done.num_frames, joints])
    fell = done.num_frames < clip.num_frames or bool(done.root_pos[-1, 2] < FALLEN_M)
    return error[round(SETTLING_S * clip.fps) :], fell


def measure(clips: Sequence[Clip], body: Body) -> dict[str, float]:
    """Figures of one joint model over all clips."""
    speeds = np.concatenate([joint_speeds(clip, body) for clip in clips])
    errors, fallen = zip(*[track(clip, body) for clip in clips], strict=True)
    error = np.concatenate(errors)
    by_clip = [float(np.sqrt(np.mean(e**2))) for e in errors]
    return {
        "speed_max_rad_s": float(speeds.max()),
        "speed_p99_rad_s": float(np.percentile(speeds.max(axis=1), 99)),
        "error_rms_rad": float(np.sqrt(np.mean(error**2))),
        "error_worst_clip_rms_rad": max(by_clip),
        "error_max_rad": float(error.max()),
        "fallen": float(sum(fallen)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=12, help="of each group")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    result = {}
    for group, clips in arm_clips(args.clips).items():
        result[group] = {joints: measure(clips, default_body(joints)) for joints in ("ball", "hinge")}
        print(f"{group + f', {len(clips)} clips':28s}{'ball':>10s}{'hinge':>10s}")
        for name in result[group]["ball"]:
            print(f"  {name:26s}{result[group]['ball'][name]:10.3f}{result[group]['hinge'][name]:10.3f}")
    if args.json:
        write_json(args.json, result)


if __name__ == "__main__":
    main()
