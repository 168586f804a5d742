"""The Unitree G1: what it is made of, how its legs reach, and what physics makes of its motions."""

from __future__ import annotations

import math
from dataclasses import replace

import mujoco
import numpy as np
import pytest
import torch

from morphloop.envs import (
    Balance,
    BalanceGains,
    Observer,
    Simulation,
    build_library,
    default_gains,
    follow,
    make_reference,
    prepare,
)
from morphloop.envs.balance import gains_from_terms
from morphloop.envs.conditioning import zero_moment_point
from morphloop.envs.config import PREPROCESSING
from morphloop.envs.leg_reach import leg_lengths, reach
from morphloop.envs.reference import preprocessed
from morphloop.motion import Clip, make_corpus
from morphloop.sim import CpuPhysics, DrivenRobot, default_body, for_tracking
from morphloop.sim.bodies.built_in import built_in
from morphloop.sim.bodies.g1 import FAST, SMALL, STRONG, TINY

STAND = {"hip_pitch": -0.31, "knee": 0.67, "ankle_pitch": -0.36, "shoulder_pitch": 0.2, "elbow": 0.6}
"""Radians; knees bent, feet flat."""


@pytest.fixture(scope="module")
def g1() -> DrivenRobot:
    body = built_in("g1")
    assert isinstance(body, DrivenRobot)
    return body


def posed(body: DrivenRobot, frames: int = 61, fps: float = 50.0, **moves: np.ndarray) -> Clip:
    """The stand with some hinges moved by (T,) radians, on both sides alike, its lowest point on the ground."""
    qpos = np.tile(body.model.qpos0, (frames, 1))
    for part in {**STAND, **moves}:
        for side in ("left", "right"):
            own = body.model.joint(f"{side}_{part}_joint").qposadr[0]
            qpos[:, own] = STAND.get(part, 0.0) + moves.get(part, 0.0)
    return prepare(body.clip_from_qpos(qpos, fps, "posed"), body)


@pytest.mark.parametrize("dofs", [29, 23])
def test_it_has_the_published_masses_and_hinges(dofs: int) -> None:
    body = built_in("g1" if dofs == 29 else "g1_23dof")
    assert isinstance(body, DrivenRobot)
    assert body.mass == pytest.approx(33.34, abs=0.01)
    assert body.model.nu == dofs == len(body.robot.hinges)
    knee = body.model.actuator("left_knee_joint")
    assert knee.forcerange.tolist() == [-139.0, 139.0]
    assert body.model.jnt_range[body.model.joint("left_ankle_roll_joint").id].tolist() == [-0.2618, 0.2618]


def test_gains_follow_from_the_motors() -> None:
    """The armatures that mjlab 1.6 prints for the four motors, and 10 Hz at a damping ratio of 2 from them."""
    printed = {SMALL: 0.003609725, FAST: 0.010177520, STRONG: 0.025101925, TINY: 0.00425}
    for motor, armature in printed.items():
        assert motor.armature == pytest.approx(armature, rel=1e-6)
        dof = motor.dof()
        assert dof.stiffness is not None
        assert dof.damping is not None
        assert math.sqrt(dof.stiffness / armature) / (2.0 * math.pi) == pytest.approx(10.0)
        assert dof.damping / (2.0 * math.sqrt(dof.stiffness * armature)) == pytest.approx(2.0)
        pair = motor.dof(2)
        assert (pair.torque, pair.armature) == pytest.approx((2.0 * motor.torque, 2.0 * armature))


def test_links_of_the_stand_touch_nothing_of_their_own(g1: DrivenRobot) -> None:
    """Self-collision is on, and neither the stand nor the pose as built starts in it."""
    for qpos in (g1.model.qpos0, g1.qpos_from_clip(posed(g1))[0]):
        data = mujoco.MjData(g1.model)
        data.qpos[:] = qpos
        data.qpos[2] += 1.0
        mujoco.mj_forward(g1.model, data)
        assert data.ncon == 0
    elbow, torso = (g1.model.body(name).id for name in ("left_elbow_link", "torso_link"))
    data.qpos[g1.model.joint("left_shoulder_roll_joint").qposadr[0]] = -0.6
    mujoco.mj_forward(g1.model, data)
    hits = [{int(g1.model.geom_bodyid[c.geom1]), int(g1.model.geom_bodyid[c.geom2])} for c in data.contact]
    assert {elbow, torso} in hits


def test_a_hinge_leg_puts_its_foot_where_it_is_asked_to(g1: DrivenRobot) -> None:
    """Ankles that are asked 4 cm aside and up get there, feet keep their turn, arms and the other leg do not move, and
    hinges stay within their ranges."""
    clip = posed(g1, frames=5)
    ankle = g1.legs[0, 2]
    shift = np.tile([0.01, 0.0, -0.03], (5, 1))
    goal = clip.positions[:, ankle] + [0.04, 0.03, 0.02]
    rotations = reach(clip, clip.rotations, g1.legs[0], shift, goal, g1)
    moved = replace(clip, root_pos=clip.root_pos + shift, rotations=rotations)
    assert np.abs(moved.positions[:, ankle] - goal).max() < 1e-4
    cosine = np.abs((moved.global_rotations[:, ankle] * clip.global_rotations[:, ankle]).sum(-1))
    assert 2.0 * np.arccos(np.minimum(cosine, 1.0)).max() < 1e-3
    own = {j for j in range(g1.skeleton.num_joints) if g1.skeleton.names[j].startswith("left_") and j <= ankle}
    others = [j for j in range(g1.skeleton.num_joints) if j not in own]
    assert np.array_equal(rotations[:, others], clip.rotations[:, others])
    angles = g1.robot.angles(rotations)
    low, high = (np.array([getattr(hinge, end) for hinge in g1.robot.hinges]) for end in ("low", "high"))
    assert (angles > low - 1e-9).all()
    assert (angles < high + 1e-9).all()


def test_a_hinge_leg_stretches_towards_what_is_out_of_reach(g1: DrivenRobot) -> None:
    clip = posed(g1, frames=1)
    hip, _, ankle = g1.legs[1]
    goal = clip.positions[:, ankle] + [0.0, 0.0, -0.5]
    rotations = reach(clip, clip.rotations, g1.legs[1], np.zeros((1, 3)), goal, g1)
    moved = replace(clip, rotations=rotations)
    length = np.linalg.norm(moved.positions[0, ankle] - moved.positions[0, hip])
    assert leg_lengths(g1)[1] == pytest.approx(0.624, abs=0.002)
    assert length > 0.98 * leg_lengths(g1)[1]


def test_a_free_leg_is_as_long_as_its_bones() -> None:
    body = default_body()
    bones = np.linalg.norm(body.skeleton.offsets[body.legs[0, 1:]], axis=1).sum()
    assert leg_lengths(body)[0] == bones


def test_a_persons_bow_keeps_the_robots_weight_over_its_feet(g1: DrivenRobot) -> None:
    """A robot's mass is elsewhere than a person's: a bow that carries it past the toes is shifted back by
    preprocessing, if it was retargeted; the robot's own clip stays as it is."""
    bow = np.sin(np.linspace(0.0, np.pi, 151)) ** 2
    qpos = g1.qpos_from_clip(posed(g1, 151, shoulder_pitch=-1.4 * bow, hip_pitch=0.08 * bow, ankle_pitch=-0.08 * bow))
    qpos[:, g1.model.joint("waist_pitch_joint").qposadr[0]] = 0.5 * bow
    lean = g1.clip_from_qpos(qpos, 50.0, "bow")
    foot = lean.positions[:, g1.legs[0, 2]]
    lean = replace(lean, root_pos=lean.root_pos - (foot - foot[0]))
    person = lean.with_provenance(stage="retarget")
    over = {}
    for name, clip in {"own": lean, "retargeted": person}.items():
        tracked = preprocessed(clip, g1, PREPROCESSING)
        _, point = zero_moment_point(tracked, g1)
        ankles = tracked.positions[:, g1.legs[:, 2], 0].mean(axis=1)
        over[name] = float((point[:, 0] - ankles).max())
    assert over["own"] > 0.13, "past the toes, which are 0.125 m before the ankles"
    assert over["retargeted"] < 0.122
    off = replace(PREPROCESSING, balance_retargeted=False)
    assert np.array_equal(preprocessed(person, g1, off).root_pos, preprocessed(lean, g1, off).root_pos)


def test_a_pushed_g1_stays_up_by_its_balance_gains_and_not_without(g1: DrivenRobot) -> None:
    """A wave of the corpus that gains were not found on, pushed four ways, is carried to its end with them; pushed
    forwards or backwards without them it falls before its middle."""
    wave = next(c for c in make_corpus(40, 17, "test") if c.provenance.notes["action"] == "wave")
    library = build_library([make_reference(for_tracking(wave, g1), g1)], g1)
    observer, shipped, none = Observer(g1, library), default_gains(g1), gains_from_terms([], g1)
    observer.balance = Balance(
        g1,
        gains=BalanceGains(
            *(torch.cat([getattr(g, name).repeat(4, 1, 1) for g in (shipped, none)]) for name in ("leg", "spine"))
        ),
    )
    bodies, clip = Simulation(CpuPhysics(g1, 8), observer), torch.zeros(8, dtype=torch.long)
    qpos, qvel = bodies.start_states(clip, clip)
    pushes = torch.tensor([[0.2, 0.0], [-0.2, 0.0], [0.0, 0.2], [0.0, -0.2]])
    qvel[:, :2] += pushes.repeat(2, 1)
    bodies.place(torch.arange(8), clip, clip, qpos, qvel)
    length = follow(bodies, lambda _: None, 0.3).length
    assert (length[:4] == library.length[0]).all()
    assert (length[4:6] < library.length[0] / 2).all()
