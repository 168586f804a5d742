"""Runs in mjlab's own environment (see `mjlab.py` beside it): loads a motion file with mjlab's loader, compares its
bodies with mjlab's own G1 in the same pose, and steps mjlab's tracking task on it. Prints one line of JSON.

    python inside_mjlab.py MOTION.npz [--steps 100]
"""

from __future__ import annotations

import argparse
import json
import time
from typing import Any

import mujoco
import numpy as np
import torch


def kinematics(path: str) -> dict[str, Any]:
    """How far the file's bodies are from those of mjlab's G1 in the pose of the file's joints, by name."""
    from mjlab.asset_zoo.robots.unitree_g1.g1_constants import get_spec

    model = get_spec().compile()
    data, file = mujoco.MjData(model), np.load(path)
    bodies = [model.body(b).name for b in range(1, model.nbody)]
    joints = [model.joint(j).name for j in range(1, model.njnt)]
    named = [str(name) for name in file["body_names"]]
    place = turn = speed = spin = 0.0
    found = np.zeros(6)
    for t in range(len(file["joint_pos"])):
        data.qpos[:3], data.qpos[3:7] = file["body_pos_w"][t, 0], file["body_quat_w"][t, 0]
        data.qpos[7:] = file["joint_pos"][t]
        root = np.zeros(9)
        mujoco.mju_quat2Mat(root, data.qpos[3:7])
        data.qvel[:3] = file["body_lin_vel_w"][t, 0]
        data.qvel[3:6] = root.reshape(3, 3).T @ file["body_ang_vel_w"][t, 0]
        data.qvel[6:] = file["joint_vel"][t]
        mujoco.mj_forward(model, data)
        place = max(place, float(np.abs(data.xpos[1:] - file["body_pos_w"][t]).max()))
        theirs, ours = data.xquat[1:], file["body_quat_w"][t]
        signed = ours * np.sign((theirs * ours).sum(-1, keepdims=True))
        turn = max(turn, float(4 * np.arcsin(np.linalg.norm(theirs - signed, axis=-1) / 2).max()))
        if 0 < t < len(file["joint_pos"]) - 1:
            for b in range(1, model.nbody):
                mujoco.mj_objectVelocity(model, data, mujoco.mjtObj.mjOBJ_XBODY, b, found, 0)
                spin = max(spin, float(np.abs(found[:3] - file["body_ang_vel_w"][t, b - 1]).max()))
                speed = max(speed, float(np.abs(found[3:] - file["body_lin_vel_w"][t, b - 1]).max()))
    return {
        "mujoco": mujoco.__version__,
        "bodies_in_the_same_order": named == bodies,
        "joints_in_the_same_order": [str(name) for name in file["joint_names"]] == joints,
        "frames": len(file["joint_pos"]),
        "body_pos_max_mm": 1e3 * place,
        "body_turn_max_deg": float(np.degrees(turn)),
        "body_lin_vel_max_m_s": speed,
        "body_ang_vel_max_rad_s": spin,
    }


def loader(path: str) -> dict[str, Any]:
    """What mjlab's own MotionLoader makes of the file."""
    from mjlab.tasks.tracking.mdp.commands import MotionLoader

    motion = MotionLoader(path, torch.arange(30))
    return {
        "time_steps": motion.time_step_total,
        "joint_pos": list(motion.joint_pos.shape),
        "body_pos_w": list(motion.body_pos_w.shape),
        "finite": bool(torch.isfinite(motion.body_lin_vel_w).all()),
    }


def task(path: str, steps: int) -> dict[str, Any]:
    """mjlab's tracking task on the CPU: at so many frames the task's own `reset_to_frame` puts the robot into the
    file's state, then it is stepped once with PD targets at the file's next joint angles. How far its key points are
    from the file's, put there and after the step, and had it stood still, as the control of what a step is worth."""
    from mjlab.envs import ManagerBasedRlEnv
    from mjlab.tasks.tracking.config.g1.env_cfgs import unitree_g1_flat_tracking_env_cfg

    began = time.perf_counter()
    cfg = unitree_g1_flat_tracking_env_cfg(play=True)
    cfg.scene.num_envs = 1
    cfg.commands["motion"].motion_file = path
    cfg.terminations, cfg.events = {}, {}  # as the file says, nothing drawn
    env = ManagerBasedRlEnv(cfg, device="cpu")
    env.reset()
    command = env.command_manager.get_term("motion")
    action = env.action_manager.get_term("joint_pos")
    made, everyone = time.perf_counter(), torch.arange(1)
    frames = np.linspace(0, command.motion.time_step_total - 2, steps).astype(int)
    put, stepped, still = [], [], []

    def apart() -> float:
        return 1e3 * float(torch.norm(command.body_pos_w - command.robot_body_pos_w, dim=-1).mean())

    for frame in frames:
        command.reset_to_frame(everyone, int(frame))
        env.sim.forward()
        put.append(apart())
        before = command.body_pos_w.clone()
        wanted = command.motion.joint_pos[frame + 1 : frame + 2]
        env.step((wanted - action._offset) / action._scale)
        stepped.append(apart())
        still.append(1e3 * float(torch.norm(command.body_pos_w - before, dim=-1).mean()))
    return {
        "control_hz": 1.0 / env.step_dt,
        "steps": len(frames),
        "key_points_when_put_max_mm": max(put),
        "key_points_after_a_step_mean_mm": float(np.mean(stepped)),
        "key_points_had_nothing_moved_mean_mm": float(np.mean(still)),
        "build_s": made - began,
        "step_s": time.perf_counter() - made,
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("motion")
    parser.add_argument("--steps", type=int, default=0)
    args = parser.parse_args()
    result = {"kinematics": kinematics(args.motion), "loader": loader(args.motion)}
    print(json.dumps(result), flush=True)
    if args.steps:
        print(json.dumps({"task": task(args.motion, args.steps)}), flush=True)
