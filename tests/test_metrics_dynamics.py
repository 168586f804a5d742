"""Inverse dynamics, residual wrench, self-penetration and joint limits against answers known by construction."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import mujoco
import numpy as np
import pytest

from morphloop.metrics import METRICS, measure, measure_rollout, track_errors
from morphloop.metrics.clip_context import context
from morphloop.metrics.dynamics import external_wrench, segments
from morphloop.metrics.joint_limits import TOLERANCE_DEG
from morphloop.metrics.plausibility import GRAVITY
from morphloop.metrics.self_penetration import axis_distance, deepest, geom_pairs
from morphloop.metrics.wrench import NO_WRENCH, body_height, explain
from morphloop.motion import DEFAULT_SKELETON, HUMANML3D_JOINTS, Clip, JointTrack, make_corpus, read_motion, to_default
from morphloop.motion.rotations import quat_from_heading, quat_from_rotvec, quat_mul, quat_rotate, quat_to_matrix
from morphloop.sim import Body, Recorder, default_body, load_body
from morphloop.sim.bodies.smpl_table import HAND_RADIUS, JOINTS, SOLE_HEIGHT, TORSO

RATES = (20.0, 30.0, 60.0, 120.0)
Turns = dict[str, Callable[[np.ndarray], np.ndarray]]
ARM_IN_BELLY: Turns = {
    "left_shoulder": lambda t: columns(-1.2, 0.0, 0.0, t),
    "left_elbow": lambda t: columns(-0.8 - 0.6 * np.sin(np.pi * t), 0.0, 0.0, t),
}
"""The left hand swings into the torso and out again, once in two seconds."""


def posed(
    turns: Turns | None = None,
    path: Callable[[np.ndarray], np.ndarray] | None = None,
    fps: float = 30.0,
    seconds: float = 3.0,
) -> Clip:
    """Rest pose with its soles on the ground; joints turn by rotation vectors (T, 3) and the root moves by (T, 3)."""
    times = np.arange(round(seconds * fps) + 1) / fps
    rotations = np.zeros((len(times), 24, 4))
    rotations[..., 0] = 1.0
    for joint, turn in (turns or {}).items():
        rotations[:, DEFAULT_SKELETON.index(joint)] = quat_from_rotvec(turn(times))
    root = np.zeros((len(times), 3)) if path is None else path(times)
    return Clip(fps, DEFAULT_SKELETON, root - [0.0, 0.0, SOLE_HEIGHT], rotations)


def columns(x: np.ndarray | float, y: np.ndarray | float, z: np.ndarray | float, like: np.ndarray) -> np.ndarray:
    return np.stack([like * 0.0 + part for part in (x, y, z)], axis=1)


def number(value: float | None) -> float:
    assert value is not None
    return value


def ratio(clip: Clip, body: Body | None = None) -> float:
    return number(measure(clip, body).values["residual_wrench_ratio"])


@lru_cache(maxsize=1)
def clips() -> dict[str, Clip]:
    return {clip.provenance.notes["action"]: clip for clip in reversed(make_corpus(60, 3))}


def corpus(action: str) -> Clip:
    return clips()[action]


def agitated(fps: float, frames: int, seed: int) -> Clip:
    """Every joint and the root turn and move at once."""
    rng, times = np.random.default_rng(seed), np.arange(frames) / fps
    phase = 2 * np.pi * rng.uniform(0.5, 2.0, (24, 3)) * times[:, None, None] + rng.uniform(0, 6, (24, 3))
    turn = 0.5 * rng.standard_normal((24, 3)) * np.sin(phase)
    root = columns(0.3 * np.sin(5 * times), 0.2 * np.cos(3 * times), 1.0 + 0.1 * np.sin(9 * times), times)
    return Clip(fps, DEFAULT_SKELETON, root, quat_from_rotvec(turn))


# Inverse dynamics


@pytest.mark.parametrize("seed", range(4))
def test_the_wrench_is_the_root_rows_of_mujocos_inverse_dynamics(seed: int) -> None:
    body, fps, k = Body(), 1000.0, 10
    body.model.opt.disableflags |= mujoco.mjtDisableBit.mjDSBL_CONSTRAINT
    clip = agitated(fps, 2 * k + 1, seed)
    qpos, data, model = body.qpos_from_clip(clip), mujoco.MjData(body.model), body.model
    before, after = np.zeros(model.nv), np.zeros(model.nv)
    mujoco.mj_differentiatePos(model, before, 1.0 / fps, qpos[k - 1], qpos[k])
    mujoco.mj_differentiatePos(model, after, 1.0 / fps, qpos[k], qpos[k + 1])
    data.qpos[:], data.qvel[:], data.qacc[:] = qpos[k], 0.5 * (before + after), (after - before) * fps
    mujoco.mj_inverse(model, data)
    parts, turned = segments(body), quat_to_matrix(clip.global_rotations)
    com, force, moment = (x[k - 1] for x in external_wrench(parts, clip.positions, turned, fps))
    root = data.xmat[body.body_ids[0]].reshape(3, 3) @ data.qfrc_inverse[3:6]
    assert np.linalg.norm(force - data.qfrc_inverse[:3]) < 1e-3 * np.linalg.norm(force)
    assert np.linalg.norm(moment - (root - np.cross(com - clip.root_pos[k], force))) < 1e-3 * np.linalg.norm(root)


def test_segments_have_the_bodys_inertia() -> None:
    body = default_body()
    parts = segments(body)
    inertia = np.trace(parts.second, axis1=1, axis2=2)[:, None, None] * np.eye(3) - parts.second
    assert parts.total == pytest.approx(body.mass)
    found = np.sort(np.linalg.eigvalsh(inertia), axis=1)
    assert found == pytest.approx(np.sort(body.model.body_inertia[body.body_ids], axis=1), rel=1e-9)


# Residual wrench


def test_standing_needs_nothing_and_a_hover_the_whole_weight() -> None:
    swing: Turns = {"left_shoulder": lambda t: columns(0, 0.8 * np.sin(3 * t), 0, t)}
    assert ratio(posed(swing)) < 1e-6
    hover = measure(posed(path=lambda t: columns(0, 0, 0.025, t))).values
    assert hover["residual_wrench_ratio"] == pytest.approx(1.0, abs=1e-6)
    assert hover["residual_force_ratio"] == pytest.approx(1.0, abs=1e-6)
    assert hover["residual_moment_ratio"] == pytest.approx(0.0, abs=1e-6)


def test_free_fall_needs_nothing_even_when_it_spins() -> None:
    def fall(t: np.ndarray) -> np.ndarray:
        return columns(1.5 * t, 0.0, 1.0 + 4.0 * t - 0.5 * 9.81 * t**2, t)

    clip = posed(path=fall, seconds=0.8)
    times = np.arange(clip.num_frames) / clip.fps
    turn = quat_from_heading(2.0 * times)
    com = context(clip).points.com
    assert com is not None
    arm = clip.root_pos - com
    rotations = clip.rotations.copy()
    rotations[:, 0] = turn
    spun = Clip(clip.fps, clip.skeleton, com + quat_rotate(turn, arm), rotations)
    assert ratio(clip) < 2e-3
    assert ratio(spun) < 5e-3


@pytest.mark.parametrize("action", ["jump", "jump_forward"])
def test_a_jump_is_told_from_a_hover(action: str) -> None:
    clip = corpus(action)
    jumped, hovered = ratio(clip), ratio(clip.moved(np.array([0.0, 0.0, 0.025])))
    assert measure(clip).values["unsupported_ratio"] == 0.0
    assert jumped < 0.02
    assert hovered > 0.9


@pytest.mark.parametrize("action", ["walk", "walk_backward", "side_step", "turn", "squat", "kick", "bow", "punch"])
def test_the_corpus_is_explained(action: str) -> None:
    assert ratio(corpus(action)) < 0.005


def leaning(angle: float) -> Clip:
    """A statue that leans forward as a whole about its ankles, with flat feet on the ground."""
    turns: Turns = {"pelvis": lambda t: columns(0, angle, 0, t)}
    turns |= dict.fromkeys(("left_ankle", "right_ankle"), lambda t: columns(0, -angle, 0, t))
    clip = posed(turns)
    return clip.moved(np.array([0.0, 0.0, -context(clip).points.lowest[0]]))


def test_a_statue_that_leans_over_too_far() -> None:
    """The best forces at the toes, f along X and n up, by hand: least squares of f, n - 1 and the moment about Y, with
    the centre of mass d beyond the toes and z over them."""
    assert ratio(leaning(0.02)) < 1e-6
    clip, height = leaning(0.45), body_height(default_body())
    points = context(clip).points
    assert points.com is not None
    toes = points.track(np.flatnonzero(points.heights[0] < 0.02))[0, :, 0].max()
    d, z = points.com[0, 0] - toes, points.com[0, 2]
    assert d > 0.2
    forces = np.array([[1.0, 0.0], [0.0, 1.0], [-z / height, d / height]])
    expected = np.sqrt(np.linalg.lstsq(forces, np.array([0.0, 1.0, 0.0]), rcond=None)[1][0])
    assert ratio(clip) == pytest.approx(expected, rel=0.02)


def cone_residual(force: np.ndarray, moment: np.ndarray, place: np.ndarray) -> np.ndarray:
    """Residual of one wrench, in newtons and newton metres, about a centre of mass at the origin."""
    usable = np.ones((1, len(place)), bool)
    return explain(np.zeros((1, 3)), force[None], moment[None], place[None], usable, np.ones(6)).residual[0]


def test_friction_holds_up_to_the_normal_force_and_no_further() -> None:
    ring = np.array([[1.0, 1.0, 0.0], [1.0, -1.0, 0.0], [-1.0, 1.0, 0.0], [-1.0, -1.0, 0.0]])
    none = np.zeros(3)
    assert np.linalg.norm(cone_residual(np.array([0.95, 0.0, 1.0]), none, ring)) < 1e-9
    beyond = cone_residual(np.array([1.5, 0.0, 1.0]), none, ring)
    assert beyond == pytest.approx([0.25, 0, -0.25, 0, 0, 0], abs=1e-9)
    assert cone_residual(np.array([0.0, 0.0, -1.0]), none, ring) == pytest.approx([0, 0, -1, 0, 0, 0], abs=1e-9)
    twist = cone_residual(np.array([0.0, 0.0, 1.0]), np.array([0.0, 0.0, 1.2]), ring)
    assert np.linalg.norm(twist) < 1e-9


def test_one_point_cannot_twist() -> None:
    point = np.array([[0.0, 0.0, -1.0]])
    found = cone_residual(np.array([0.0, 0.0, 1.0]), np.array([0.0, 0.0, 0.3]), point)
    assert found == pytest.approx([0, 0, 0, 0, 0, 0.3], abs=1e-9)


@pytest.mark.parametrize("degrees", [22.5, 45.0, 71.0])
def test_the_way_a_clip_faces_does_not_matter(degrees: float) -> None:
    clip = posed(path=lambda t: columns(0.35 * np.sin(2 * np.pi * 0.9 * t), 0, 0, t))
    turn = quat_from_heading(np.full(clip.num_frames, np.radians(degrees)))
    rotations = clip.rotations.copy()
    rotations[:, 0] = quat_mul(turn, rotations[:, 0])
    turned = Clip(clip.fps, clip.skeleton, quat_rotate(turn, clip.root_pos), rotations)
    assert ratio(clip) > 0.1
    assert ratio(turned) == pytest.approx(ratio(clip), rel=0.03)


def test_what_the_simulator_did_is_explained() -> None:
    """A landing of 17 body weights from the servos' own physics: what is left is what the low-pass blurs."""
    body = default_body()
    qpos = body.model.qpos0.copy()
    qpos[2] = -SOLE_HEIGHT + 0.25
    recorder, rng = Recorder(body, qpos, np.zeros(body.model.nv)), np.random.default_rng(0)
    for _ in range(75):
        assert recorder.step(0.03 * rng.standard_normal(body.model.nu))
    rollout = recorder.rollout(seed=0)
    assert number(measure_rollout(rollout)["sim_force_peak_bw"]) > 5.0
    clip = body.clip_from_qpos(rollout.qpos, rollout.fps)
    assert ratio(clip) < 0.01
    assert ratio(clip.moved(np.array([0.0, 0.0, 0.3]))) > 0.9


def test_where_no_wrench_can_be_known_it_is_null() -> None:
    clip = posed()
    assert measure(JointTrack(30.0, HUMANML3D_JOINTS, clip.positions[:, :22])).values.items() >= NO_WRENCH.items()
    assert measure(clip.slice(0, 8)).values.items() >= NO_WRENCH.items()
    assert measure(clip, wrench=False).values.items() >= NO_WRENCH.items()


# Self-penetration


def test_axis_distance_is_that_of_densely_sampled_segments() -> None:
    rng = np.random.default_rng(1)
    apart, half_a, half_b = rng.standard_normal((3, 60, 3)) * [[[1.0]], [[0.7]], [[0.5]]]
    half_a[:10] = 0.0
    half_b[5:15] = 0.0
    half_b[15:25] = 0.6 * half_a[15:25]
    grid = np.linspace(-1.0, 1.0, 401)
    a = apart[:, None] + grid[:, None] * half_a[:, None]
    b = grid[:, None] * half_b[:, None]
    sampled = np.array([np.linalg.norm(p[:, None] - q, axis=-1).min() for p, q in zip(a, b, strict=True)])
    found = axis_distance(apart, half_a, half_b)
    assert (found <= sampled + 1e-12).all()
    assert found == pytest.approx(sampled, abs=5e-3)


def test_depths_are_mujocos_for_every_pair() -> None:
    body = default_body()
    pairs, model, clip = geom_pairs(body), body.model, agitated(30.0, 12, 5)
    turned = quat_to_matrix(quat_mul(clip.global_rotations, quat_from_rotvec(np.full(3, 0.4))))
    squeezed = 0.6 * (clip.positions - clip.positions[:, :1])
    found, data = deepest(model, pairs, squeezed, turned), mujoco.MjData(model)
    expected = np.zeros(len(pairs.first))
    for frame in range(clip.num_frames):
        for g, geom in enumerate(pairs.ids):
            data.geom_xpos[geom] = squeezed[frame, pairs.joint[g]] + turned[frame, pairs.joint[g]] @ pairs.origin[g]
            data.geom_xmat[geom] = (turned[frame, pairs.joint[g]] @ pairs.turn[g]).ravel()
        for p, (a, b) in enumerate(zip(pairs.first, pairs.second, strict=True)):
            gap = mujoco.mj_geomDistance(model, data, int(pairs.ids[a]), int(pairs.ids[b]), 0.5, np.zeros(6))
            expected[p] = max(expected[p], -gap)
    assert (expected > 0).sum() > 20
    assert found == pytest.approx(expected, abs=1e-4)


def test_an_arm_pushed_into_the_belly_by_a_known_depth() -> None:
    """The depth by hand: both radii less the distance of the hand's centre from points all along the torso's axes."""
    body, clip = default_body(), posed(ARM_IN_BELLY, seconds=2.0)
    hand, expected = clip.positions[:, DEFAULT_SKELETON.index("left_hand")], 0.0
    for joint in ("pelvis", "spine1", "spine2", "spine3"):
        geom, j = TORSO[joint], DEFAULT_SKELETON.index(joint)
        axis = np.linspace(geom.start, geom.end, 2001) + clip.positions[0, j]
        apart = np.linalg.norm(hand[:, None] - axis, axis=-1).min()
        expected = max(expected, geom.radius + HAND_RADIUS - apart)
    assert expected > 0.03
    pairs, turned = geom_pairs(body), quat_to_matrix(clip.global_rotations)
    own = (pairs.joint[[pairs.first, pairs.second]] == DEFAULT_SKELETON.index("left_hand")).any(axis=0)
    assert deepest(body.model, pairs, clip.positions, turned)[own].max() == pytest.approx(expected, abs=1e-4)
    assert number(measure(clip).values["self_penetration_max_mm"]) >= 1e3 * expected - 0.1


@pytest.mark.parametrize("action", ["idle", "wave", "kick", "punch", "raise_arms", "turn", "side_step"])
def test_clean_clips_do_not_stand_in_themselves(action: str) -> None:
    assert number(measure(corpus(action)).values["self_penetration_max_mm"]) < 2.0


def test_neighbours_and_what_overlaps_as_built_is_left_out() -> None:
    body = default_body()
    pairs, names = geom_pairs(body), DEFAULT_SKELETON.names
    joints = {
        frozenset((names[pairs.joint[a]], names[pairs.joint[b]]))
        for a, b in zip(pairs.first, pairs.second, strict=True)
    }
    assert frozenset(("left_knee", "left_ankle")) not in joints
    assert frozenset(("left_hip", "right_hip")) not in joints
    assert frozenset(("left_knee", "right_knee")) in joints
    assert number(measure(posed()).values["self_penetration_max_mm"]) == 0.0


def test_joints_alone_have_no_self_penetration_and_no_limits() -> None:
    values = measure(JointTrack(30.0, HUMANML3D_JOINTS, posed().positions[:, :22])).values
    assert values["self_penetration_max_mm"] is values["joint_limit_ratio"] is None


# Joint limits


@pytest.mark.parametrize(("beyond", "expected"), [(TOLERANCE_DEG - 1.0, 0.0), (TOLERANCE_DEG + 1.0, 0.5)])
def test_a_knee_beyond_its_range_half_of_the_time(beyond: float, expected: float) -> None:
    angle = np.radians(JOINTS["knee"].y[1] + beyond)
    clip = posed({"right_knee": lambda t: columns(0, angle * (t >= 1.5), 0, t)})
    assert measure(clip).values["joint_limit_ratio"] == pytest.approx(expected, abs=0.01)


def test_sides_mirror() -> None:
    """A hip turned out 60 degrees is in range on its own side and out of it on the other."""
    for joint, share in (("left_hip", 0.0), ("right_hip", 1.0)):
        clip = posed({joint: lambda t: columns(np.radians(60), 0, 0, t)})
        assert measure(clip).values["joint_limit_ratio"] == share


# A robot from MJCF: hinges, boxes, mass of its own

ROBOT = """<mujoco model="strider"><compiler angle="radian"/><worldbody><body name="trunk" pos="0 0 0.6"><freejoint/>
<geom type="box" size="0.1 0.15 0.2" pos="0 0 0.2" mass="8"/>{legs}</body></worldbody></mujoco>"""
LEG = """<body name="{side}_leg" pos="0 {y} 0"><joint name="{side}_hip" axis="0 1 0" range="-1 0.5" limited="true"/>
<geom type="capsule" fromto="0 0 -0.05 0 0 -0.4" size="0.04" mass="2"/><body name="{side}_foot" pos="0 0 -0.5">
<joint name="{side}_ankle" axis="0 1 0"/><geom type="box" size="0.12 0.05 0.02" pos="0.04 0 -0.08" mass="1"/></body>
</body>"""


@pytest.fixture
def robot(tmp_path: Path) -> Body:
    legs = "".join(LEG.format(side=side, y=y) for side, y in (("left", 0.12), ("right", -0.12)))
    (tmp_path / "strider.xml").write_text(ROBOT.format(legs=legs))
    return load_body(tmp_path / "strider.xml")


def test_a_robot_is_measured_by_its_own_mass_limits_and_geoms(robot: Body) -> None:
    qpos = np.tile(robot.model.qpos0, (60, 1))
    assert body_height(robot) == pytest.approx(1.0, abs=1e-9)
    standing = measure(robot.clip_from_qpos(qpos, 30.0), robot).values
    assert standing["residual_wrench_ratio"] == pytest.approx(0.0, abs=1e-6)
    assert standing["self_penetration_max_mm"] == standing["joint_limit_ratio"] == 0.0
    raised = qpos.copy()
    raised[:, 2] += 0.05
    assert ratio(robot.clip_from_qpos(raised, 30.0), robot) == pytest.approx(1.0, abs=1e-6)
    bent = qpos.copy()
    bent[30:, robot.model.joint("left_hip").qposadr[0]] = -1.2
    assert measure(robot.clip_from_qpos(bent, 30.0), robot).values["joint_limit_ratio"] == pytest.approx(0.5)


# At every frame rate, for motion below the cut-off


def swaying(fps: float) -> Clip:
    """A sway too wide for the feet, a hand that dips into the belly, a knee that overbends, for 12 s."""
    turns: Turns = dict(ARM_IN_BELLY) | {"right_knee": lambda t: columns(0, 2.2 + 1.0 * np.sin(4.7 * t), 0, t)}
    return posed(turns, lambda t: columns(0.2 * np.sin(8.3 * t), 0.15 * np.sin(5.1 * t), 0, t), fps, 12.0)


def test_figures_agree_across_frame_rates() -> None:
    found = [measure(swaying(fps)).values for fps in RATES]
    for name in (*NO_WRENCH, "self_penetration_max_mm", "joint_limit_ratio"):
        values = [number(value[name]) for value in found]
        assert min(values) > 0.01, name
        assert max(values) < 1.03 * min(values), name


# The contract

CONTRACT = {
    "motion": (
        "ground_offset_mm penetration_mean_mm penetration_max_mm penetration_ratio float_mean_mm unsupported_ratio "
        "slide_mean_mm_s slide_ratio residual_wrench_ratio self_penetration_max_mm jerk_mean_m_s3 jitter_rms_mm "
        "joint_limit_ratio joint_speed_max_rad_s physdiff_penetrate_mm physdiff_float_mm physdiff_skate_mm "
        "physdiff_phys_err_mm gmd_skating_ratio edge_pfc"
    ),
    "reference": "success success_strict skill e_g_mpjpe_mm e_mpjpe_mm e_vel_mm_frame e_acc_mm_frame2",
}


def test_every_metric_of_the_contract_is_registered_and_measured() -> None:
    clip = corpus("walk")
    measured = {"motion": measure(clip).values, "reference": track_errors(clip, clip.moved(np.array([0.0, 0.01, 0.0])))}
    forces = {metric.name for metric in METRICS.measured if metric.needs == "rollout"}
    for needs, rows in CONTRACT.items():
        expected = {name for name, metric in METRICS.items() if metric.needs == needs}
        assert expected == set(measured[needs]) - forces
        for name in rows.split():
            assert METRICS[name].needs == needs
            assert measured[needs][name] is not None, name


def test_gravity_is_the_simulators() -> None:
    assert default_body().model.opt.gravity == pytest.approx(GRAVITY)


# Real motion


def shared(path: str) -> Path:
    found = Path(os.environ.get("MORPHLOOP_SHARED", Path(__file__).resolve().parents[2] / "shared")) / "data" / path
    if not found.exists():
        pytest.skip(f"no {found}: real motion is needed, set MORPHLOOP_SHARED")
    return found


def captured(path: str) -> Clip:
    motion = read_motion(shared(path))
    assert isinstance(motion, Clip)
    return to_default(motion)


@pytest.mark.parametrize("name", ["video_walk_level1_filter_amass", "video_jump_forward_level1_filter_amass"])
def test_motion_estimated_from_video_is_possible_once_it_stands_on_the_ground(name: str) -> None:
    clip = captured(f"asap_video_smpl/{name}.npz")
    assert number(measure(clip, ground="robust").values["residual_wrench_ratio"]) < 0.02
    assert number(measure(clip.moved(np.array([0.0, 0.0, 0.2]))).values["residual_wrench_ratio"]) > 0.9
