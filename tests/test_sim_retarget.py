"""People's motion on robots: what it means survives, and what a robot cannot do is not asked of it."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import mujoco
import numpy as np
import pytest

from morphloop.base import MotionError
from morphloop.cli import main
from morphloop.metrics import measure
from morphloop.motion import DEFAULT_SKELETON, Clip, make_corpus, read_manifest, read_motion, save_clip
from morphloop.motion.rotations import quat_angle, quat_from_heading, quat_from_rotvec, quat_mul, quat_rotate
from morphloop.sim import DrivenRobot, default_body, retarget, retarget_figures
from morphloop.sim.bodies.g1 import unitree_g1
from morphloop.sim.retargeting.rest import human_rest, rest_pose
from morphloop.sim.retargeting.targets import make_targets
from morphloop.sim.retargeting.tasks import G1, G1_23, TABLES, tasks_of

STANDING = 0.945
"""Height of the pelvis of the default body when it stands as built, metres."""
ACTIONS = ("walk", "kick", "jump", "turn", "side_step", "wave", "bow", "squat", "reach", "walk_backward")


@pytest.fixture(scope="module")
def g1() -> DrivenRobot:
    return unitree_g1()


@pytest.fixture(scope="module")
def corpus() -> list[Clip]:
    """One clip of each of ten actions."""
    clips = make_corpus(60, seed=7)
    return [next(c for c in clips if c.provenance.notes["action"] == action) for action in ACTIONS]


@pytest.fixture(scope="module")
def made(g1: DrivenRobot, corpus: list[Clip]) -> list[Clip]:
    return [retarget(clip, g1) for clip in corpus]


def posed(frames: int = 8, fps: float = 30.0, **turns: tuple[float, float, float]) -> Clip:
    """The default skeleton standing in a T-pose, some joints turned by rotation vectors."""
    rotations = np.zeros((frames, DEFAULT_SKELETON.num_joints, 4))
    rotations[..., 0] = 1.0
    for joint, turn in turns.items():
        rotations[:, DEFAULT_SKELETON.index(joint)] = quat_from_rotvec(np.array(turn))
    return Clip(fps, DEFAULT_SKELETON, np.tile([0.0, 0.0, STANDING], (frames, 1)), rotations)


def at(clip: Clip, body: DrivenRobot, joint: str) -> np.ndarray:
    """(T, 3) where the robot's link for a joint of the default skeleton is."""
    return rest_pose(body).at(clip, joint)


def angles(clip: Clip, body: DrivenRobot) -> np.ndarray:
    return body.robot.angles(clip.rotations)


@pytest.mark.parametrize("dofs", [29, 23])
def test_a_t_pose_is_a_t_pose(dofs: int) -> None:
    """Arms point where the person's do, soles are level and legs all but straight, left as right."""
    body = unitree_g1(dofs)
    clip = retarget(posed(), body)
    for side in ("left", "right"):
        for start, end in (("shoulder", "elbow"), ("elbow", "wrist"), ("hip", "knee"), ("knee", "ankle")):
            bone = at(clip, body, f"{side}_{end}")[-1] - at(clip, body, f"{side}_{start}")[-1]
            wanted = human_rest(f"{side}_{end}") - human_rest(f"{side}_{start}")
            cosine = bone @ wanted / np.linalg.norm(bone) / np.linalg.norm(wanted)
            assert np.degrees(np.arccos(min(cosine, 1.0))) < (5.0 if start in ("shoulder", "elbow") else 8.0), (
                side,
                start,
            )
        knee = angles(clip, body)[-1, body.robot.hinge_names.index(f"{side}_knee_joint")]
        assert 0.0 <= knee < np.radians(20.0), "bent a little, and forward"
    left, right = (
        np.array([angles(clip, body)[-1, body.robot.hinge_names.index(f"{side}_{part}_joint")]
        for part in ("hip_pitch", "knee", "ankle_pitch")]) for side in ("left", "right")
    )  # fmt: skip
    assert np.abs(left - right).max() < np.radians(3.0)
    assert clip.positions[-1, rest_pose(body).joint["left_ankle"], 2] == pytest.approx(0.035, abs=1e-3)


def test_a_raised_left_hand_is_a_raised_left_hand(g1: DrivenRobot) -> None:
    """An arm that the person raises over the head is over the robot's shoulder, the other one hangs."""
    clip = retarget(posed(left_shoulder=(1.3, 0.0, 0.0), right_shoulder=(1.3, 0.0, 0.0)), g1)
    assert at(clip, g1, "left_wrist")[-1, 2] > at(clip, g1, "left_shoulder")[-1, 2] + 0.25
    assert at(clip, g1, "right_wrist")[-1, 2] < at(clip, g1, "right_shoulder")[-1, 2] - 0.2
    assert at(clip, g1, "left_wrist")[-1, 1] > 0.0 > at(clip, g1, "right_wrist")[-1, 1]


def test_an_elbow_bends_as_the_person_s(g1: DrivenRobot) -> None:
    """Forearms that point ahead from level arms point ahead, not back: what a wrong offset of the upper arm does."""
    clip = retarget(posed(left_elbow=(0.0, 0.0, -1.4), right_elbow=(0.0, 0.0, 1.4)), g1)
    for side in ("left", "right"):
        forearm = at(clip, g1, f"{side}_wrist")[-1] - at(clip, g1, f"{side}_elbow")[-1]
        assert forearm[0] > 0.9 * np.linalg.norm(forearm)


def test_an_arm_swings_sideways_over_the_head_and_down(g1: DrivenRobot) -> None:
    """The shoulder's hinges cannot turn all the way so; they change to their other way where the arm is level, in time
    and within their speeds, and the hand is near its target all along."""
    angle = 0.1 - 1.3 * np.cos(np.linspace(0.0, 2.0 * np.pi, 91))
    still = posed(91)
    rotations = still.rotations.copy()
    for side, sign in (("left", 1.0), ("right", -1.0)):
        turns = np.stack([sign * angle, 0.0 * angle, 0.0 * angle], axis=1)
        rotations[:, DEFAULT_SKELETON.index(f"{side}_shoulder")] = quat_from_rotvec(turns)
    clip = replace(still, rotations=rotations)
    result, targets = retarget(clip, g1), make_targets(clip, g1)
    for side in ("left", "right"):
        off = np.linalg.norm(at(result, g1, f"{side}_wrist") - targets.place[f"{side}_wrist"], axis=1)
        assert off.max() < 0.08
        assert off.mean() < 0.02
    assert result.provenance.notes["speed_peak_ratio"] < 1.0


def test_standing_feet_slide_no_more_than_the_person_s(corpus: list[Clip], made: list[Clip], g1: DrivenRobot) -> None:
    """On nine of ten, and nowhere by more than what is seen; the person's are clean."""
    pairs = [
        (measure(clip, wrench=False).values["slide_mean_mm_s"] or 0.0, after)
        for clip, result in zip(corpus, made, strict=True)
        for after in [measure(result, g1, wrench=False).values["slide_mean_mm_s"] or 0.0]
    ]
    assert sum(after <= before + 0.01 for before, after in pairs) >= 9
    assert max(after for _, after in pairs) < 10.0


def test_a_foot_that_skates_is_held(g1: DrivenRobot, corpus: list[Clip]) -> None:
    """A person who walks on the spot over moving ground stands still with every stance."""
    walk = corpus[ACTIONS.index("walk")]
    drift = np.zeros((walk.num_frames, 3))
    drift[:, 0] = 0.15 * np.arange(walk.num_frames) / walk.fps
    skating = replace(walk, root_pos=walk.root_pos + drift)
    before = measure(skating, wrench=False).values["slide_mean_mm_s"]
    after = measure(retarget(skating, g1), g1, wrench=False).values["slide_mean_mm_s"]
    assert before is not None
    assert after is not None
    assert before > 100.0
    assert after < 0.2 * before


def test_nothing_goes_into_the_ground_or_into_itself(corpus: list[Clip], made: list[Clip], g1: DrivenRobot) -> None:
    for clip, result in zip(corpus, made, strict=True):
        before, after = measure(clip, wrench=False).values, measure(result, g1, wrench=False).values
        depth = before["penetration_max_mm"]
        assert depth is not None
        assert after["penetration_max_mm"] is not None
        assert after["penetration_max_mm"] < depth + 1.0
        assert after["self_penetration_max_mm"] is not None
        assert after["self_penetration_max_mm"] < 1.0


def test_a_person_in_the_ground_is_a_robot_on_it(g1: DrivenRobot) -> None:
    """The floor is where the person's lowest point mostly is, wherever the file has it."""
    sunk = posed().moved(np.array([0.0, 0.0, -0.3]))
    assert retarget(sunk, g1).positions[:, 0, 2] == pytest.approx(retarget(posed(), g1).positions[:, 0, 2], abs=1e-6)


def test_a_person_who_lies_down_is_a_robot_over_the_ground(g1: DrivenRobot) -> None:
    lying = posed(pelvis=(0.0, -np.pi / 2.0, 0.0))
    lying = replace(lying, root_pos=np.tile([0.0, 0.0, 0.12], (8, 1)))
    clip = retarget(lying, g1)
    values = measure(clip, g1, wrench=False).values
    assert values["penetration_max_mm"] is not None
    assert values["penetration_max_mm"] < 1.0
    assert clip.positions[-1, 0, 2] < 0.25


@pytest.mark.parametrize("dofs", [29, 23])
def test_ranges_and_motors_speeds_are_kept(dofs: int, corpus: list[Clip]) -> None:
    """Also by a clip that is played at eight times its speed."""
    body = unitree_g1(dofs)
    low, high = (np.array([getattr(hinge, end) for hinge in body.robot.hinges]) for end in ("low", "high"))
    speeds = np.array([body.description.dofs[name].speed for name in body.robot.hinge_names])
    kick = corpus[ACTIONS.index("kick")]
    for clip in (kick, replace(kick, fps=8.0 * kick.fps), corpus[ACTIONS.index("squat")]):
        result = retarget(clip, body)
        turned = angles(result, body)
        assert (turned >= low - 1e-9).all()
        assert (turned <= high + 1e-9).all()
        assert (np.abs(np.diff(turned, axis=0)) * clip.fps <= speeds).all()
        assert result.provenance.notes["speed_peak_ratio"] <= 1.0


def test_key_points_are_near(corpus: list[Clip], made: list[Clip], g1: DrivenRobot) -> None:
    """Knees, ankles, elbows and wrists within 25 mm of where the person's bones put them, on a robot of 1.3 m; and
    another pose's are not."""
    for clip, result in zip(corpus, made, strict=True):
        assert retarget_figures(clip, result, g1).key_point_error_mm < 25.0
    wave, squat = made[ACTIONS.index("wave")], corpus[ACTIONS.index("squat")]
    frames = min(wave.num_frames, squat.num_frames)
    assert retarget_figures(squat.slice(0, frames), wave.slice(0, frames), g1).key_point_error_mm > 50.0


def test_a_turned_and_moved_person_is_a_turned_and_moved_robot(g1: DrivenRobot, corpus: list[Clip]) -> None:
    clip = corpus[ACTIONS.index("walk")].slice(0, 40)
    turn, move = quat_from_heading(np.array(2.1)), np.array([3.0, -5.0, 0.0])
    rotations = clip.rotations.copy()
    rotations[:, 0] = quat_mul(np.broadcast_to(turn, rotations[:, 0].shape), rotations[:, 0])
    turned_root = quat_rotate(np.broadcast_to(turn, (clip.num_frames, 4)), clip.root_pos)
    result, other = retarget(clip, g1), retarget(replace(clip, root_pos=turned_root + move, rotations=rotations), g1)
    assert np.abs(angles(other, g1) - angles(result, g1)).max() < 0.02
    begins = clip.root_pos[0] * [1.0, 1.0, 0.0]
    wanted = quat_rotate(np.broadcast_to(turn, (clip.num_frames, 4)), result.root_pos - begins)
    wanted += quat_rotate(turn, begins) + move
    assert np.abs(other.root_pos - wanted).max() < 2e-3


def test_legs_give_the_scale_of_steps(g1: DrivenRobot, corpus: list[Clip], made: list[Clip]) -> None:
    walk = ACTIONS.index("walk")
    person, robot = (clip.root_pos[-1, :2] - clip.root_pos[0, :2] for clip in (corpus[walk], made[walk]))
    assert robot == pytest.approx(made[walk].provenance.notes["leg_scale"] * person, abs=0.03)
    assert made[walk].provenance.notes["leg_scale"] == pytest.approx(0.80, abs=0.01)


def test_a_table_comes_from_the_description_of_a_robot_that_has_none(g1: DrivenRobot, monkeypatch) -> None:
    """The G1's own is found so, link by link."""
    monkeypatch.setattr("morphloop.sim.retargeting.tasks.TABLES", {})
    assert tasks_of(g1) == G1
    assert tasks_of(unitree_g1(23)) == G1_23


def test_arms_that_end_at_the_elbow_lay_their_forearms(g1: DrivenRobot) -> None:
    """A G1 without wrists and hands, as older robots are: the end of the forearm stands in for the wrist."""
    spec = mujoco.MjSpec.from_string((files("morphloop.assets") / "bodies" / "g1.xml").read_text(encoding="utf-8"))
    for side in ("left", "right"):
        spec.delete(spec.body(f"{side}_wrist_roll_link"))
        spec.body(f"{side}_elbow_link").add_geom(
            type=mujoco.mjtGeom.mjGEOM_CAPSULE, fromto=[0.1, 0.0, -0.01, 0.25, 0.0, -0.01], size=[0.03, 0.0, 0.0]
        )
    described = replace(g1.description, preview=("pelvis", "torso_link"))
    body = DrivenRobot(spec, described, "handless")
    assert tasks_of(body)["left_wrist"].link == "left_elbow_link"
    clip = retarget(posed(left_elbow=(0.0, 0.0, -1.4), right_elbow=(0.0, 0.0, 1.4)), body)
    for side in ("left", "right"):
        forearm = at(clip, body, f"{side}_wrist")[-1] - at(clip, body, f"{side}_elbow")[-1]
        assert forearm[0] > 0.9 * np.linalg.norm(forearm)


def test_a_robot_without_arms_is_refused(g1: DrivenRobot, monkeypatch) -> None:
    monkeypatch.setattr("morphloop.sim.retargeting.tasks.TABLES", {})
    monkeypatch.setattr(g1, "_described", replace(g1.description, torso="waist_roll_link"))
    assert tasks_of(g1) == {**G1, "spine3": replace(G1["spine3"], link="waist_roll_link")}
    monkeypatch.setattr(g1, "_described", replace(g1.description, torso="left_elbow_link"))
    with pytest.raises(MotionError, match="robot 'g1' has no left arm of two hinges or more on 'left_elbow_link'"):
        tasks_of(g1)


def test_what_is_no_person_or_no_robot_is_refused(g1: DrivenRobot, made: list[Clip]) -> None:
    with pytest.raises(MotionError, match="is a motion of robot 'g1' already"):
        retarget(made[0], g1)
    with pytest.raises(MotionError, match="body 'smpl24' is no robot"):
        retarget(posed(), default_body())


def test_it_says_where_it_is_from(g1: DrivenRobot, corpus: list[Clip], made: list[Clip]) -> None:
    source, result = corpus[0], made[0]
    assert (result.name, result.texts, result.fps) == (source.name, source.texts, source.fps)
    assert (result.provenance.stage, result.provenance.parent) == ("retarget", source.id)
    assert result.provenance.notes["robot"] == "g1"
    assert pickle.loads(pickle.dumps(retarget)) is retarget


def test_one_frame_is_enough(g1: DrivenRobot) -> None:
    clip = retarget(posed(frames=1), g1)
    assert clip.num_frames == 1
    assert clip.provenance.notes["speed_peak_ratio"] is None


@pytest.mark.parametrize("workers", ["0", "2"])
def test_the_command_writes_what_can_be_and_names_the_rest(
    tmp_path: Path, capsys, g1: DrivenRobot, workers: str
) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    save_clip(folder / "a.npz", posed(12))
    save_clip(folder / "sub" / "b.npz", posed(12, left_elbow=(0.0, 0.0, -1.0)))
    save_clip(folder / "robot.npz", retarget(posed(2), g1))
    (folder / "bad.bvh").write_text("HIERARCHY\n")
    arguments = ["retarget", str(folder), "--body", "g1", "--out", str(out), "--workers", workers]
    assert main([*arguments, "--json", str(tmp_path / "r.json")]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 2
    assert any("bad.bvh: no MOTION section" in line for line in lines)
    assert any("robot.npz: clip: is a motion of robot 'g1' already" in line for line in lines)
    report = json.loads((tmp_path / "r.json").read_text())
    assert sorted(row["name"] for row in report["clips"]) == ["a", "b"]
    assert sorted(Path(row["path"]).name for row in report["failed"]) == ["bad.bvh", "robot.npz"]
    for row in report["clips"]:
        clip = read_motion(row["out"])
        assert isinstance(clip, Clip)
        assert clip.skeleton == g1.skeleton
        assert row["metrics"]["key_point_error_mm"] < 15.0
    assert (out / "sub" / "b.npz").is_file()
    assert main(arguments) == 2
    assert "is there already, expected a free name or --overwrite" in capsys.readouterr().err


def test_the_command_takes_robots_alone(tmp_path: Path, capsys) -> None:
    save_clip(tmp_path / "a.npz", posed(2))
    assert main(["retarget", str(tmp_path / "a.npz"), "--body", "smpl", "--out", str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err.strip() == (
        "morphloop: --body smpl: not a robot, expected one to retarget to, such as g1"
    )


def test_mjlab_gets_its_rate_and_its_hinges(tmp_path: Path, g1: DrivenRobot) -> None:
    save_clip(tmp_path / "a.npz", posed(31))
    out = tmp_path / "out"
    options = ["--body", "g1", "--to", "mjlab", "--workers", "0", "--out", str(out)]
    assert main(["retarget", str(tmp_path / "a.npz"), *options]) == 0
    with np.load(out / "a.npz") as written:
        assert written["joint_names"].tolist() == list(g1.robot.hinge_names)
        assert written["joint_pos"].shape == (51, 29)
        assert written["fps"].tolist() == [50.0]
        assert written["foot_contact"].all()
    (row,) = read_manifest(out)
    assert (row["file"], row["fps"], row["frames"]) == ("a.npz", 50.0, 51)


def test_tables_name_links_of_their_robots(g1: DrivenRobot) -> None:
    for dofs in (29, 23):
        body = unitree_g1(dofs)
        assert {task.link for task in TABLES[body.name].values()} <= set(body.skeleton.names)
        rest = rest_pose(body)
        assert quat_angle(rest.offset["pelvis"], np.array([1.0, 0.0, 0.0, 0.0])) < 1e-9
