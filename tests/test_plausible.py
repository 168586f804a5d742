"""What looks wrong with a motion, why, and the flag that mends it: of people and robots alike, by every command."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from morphloop.cli import main
from morphloop.motion import (
    DEFAULT_SKELETON,
    Clip,
    JointTrack,
    Provenance,
    Skeleton,
    as_format,
    make_corpus,
    read_motion,
    save_clip,
    write_motion,
)
from morphloop.motion.axes import FRAMES
from morphloop.motion.config import ReadingConfig
from morphloop.motion.plausible import Doubt, doubts, gathered
from morphloop.motion.rotations import quat_from_rotvec
from morphloop.motion.skeleton import Y_UP_TO_Z_UP
from morphloop.sim import RobotBody, load_body

CLIP = make_corpus(2, 1)[1]
FPS = 20.0
TRACK = as_format(CLIP, "humanml3d-joints")
assert isinstance(TRACK, JointTrack)


def fields(motion, robot=None) -> list[str]:
    return [doubt.field for doubt in doubts(motion, robot)]


def saved_joints(path: Path, up: str) -> Path:
    """The track's joints in a file whose axis `up` points up."""
    np.save(path, (TRACK.positions @ FRAMES[f"{up.upper()} up"]).astype(np.float32))
    return path


def test_corpus_and_joints_of_it_are_not_doubted():
    for clip in make_corpus(24, 3):
        assert doubts(clip) == []
        assert doubts(as_format(clip, "humanml3d-joints")) == []


@pytest.mark.parametrize("up", ["x", "-x", "-y", "z", "-z"])
def test_another_up_axis_is_named_and_its_flag_mends_it(tmp_path, up):
    path = saved_joints(tmp_path / "a.npy", up)
    (doubt,) = doubts(read_motion(path, FPS))
    assert doubt.field == "up axis"
    assert f"--up={up}" in doubt.expected
    mended = read_motion(path, FPS, how=ReadingConfig(up=up))  # type: ignore[arg-type]
    assert isinstance(mended, JointTrack)
    assert doubts(mended) == []
    np.testing.assert_allclose(mended.positions[..., 2], TRACK.positions[..., 2], atol=1e-5)


def test_an_up_axis_turns_rotations_too(tmp_path):
    write_motion(tmp_path / "a.npz", as_format(CLIP, "amass"), "amass")
    straight = read_motion(tmp_path / "a.npz")
    turned = read_motion(tmp_path / "a.npz", how=ReadingConfig(up="y"))
    np.testing.assert_allclose(turned.positions, straight.positions @ Y_UP_TO_Z_UP.T, atol=1e-9)


def test_lying_and_a_handstand_are_no_wrong_axis():
    turn = quat_from_rotvec(np.tile([0.0, -np.pi / 2, 0.0], (30, 1)))
    rotations = np.zeros((30, 24, 4))
    rotations[..., 0] = 1.0
    lying = Clip(FPS, DEFAULT_SKELETON, np.tile([0.0, 0.0, 0.15], (30, 1)), rotations.copy())
    lying.rotations[:, 0] = turn
    assert doubts(lying) == []
    upside = Clip(FPS, DEFAULT_SKELETON, np.tile([0.0, 0.0, 0.0], (30, 1)), rotations.copy())
    upside.rotations[:, 0] = quat_from_rotvec(np.tile([np.pi, 0.0, 0.0], (30, 1)))
    hands = upside.moved(np.array([0.0, 0.0, -upside.positions[..., 2].min()]))
    assert doubts(hands) == []


@pytest.mark.parametrize(("unit", "metres"), [("cm", 0.01), ("mm", 0.001), ("inch", 0.0254)])
def test_units_are_named_and_their_flag_mends_them(tmp_path, unit, metres):
    np.save(tmp_path / "a.npy", (TRACK.positions @ Y_UP_TO_Z_UP / metres).astype(np.float32))
    (doubt,) = doubts(read_motion(tmp_path / "a.npy", FPS))
    assert f"--units {unit}" in doubt.expected
    mended = read_motion(tmp_path / "a.npy", FPS, how=ReadingConfig(units=unit))
    np.testing.assert_allclose(mended.positions, TRACK.positions, atol=1e-4)


def test_positions_relative_to_the_root_and_feet_that_never_touch_are_named():
    relative = replace(TRACK, positions=TRACK.positions - TRACK.positions[:, :1])
    assert "relative to the root" in str(doubts(relative)[0])
    assert fields(replace(TRACK, positions=TRACK.positions + np.array([0.0, 0.0, 0.6]))) == ["ground"]
    assert fields(replace(TRACK, positions=TRACK.positions - np.array([0.0, 0.0, 0.6]))) == ["ground"]


def test_joints_in_another_order_and_exchanged_sides_are_named():
    rng = np.random.default_rng(0)
    order = rng.permutation(22)
    assert "limbs" in fields(replace(TRACK, positions=TRACK.positions[:, order]))
    sides = {
        name: name.replace("left", "RIGHT").replace("right", "left").replace("RIGHT", "right") for name in TRACK.names
    }
    swapped = TRACK.positions[:, [TRACK.names.index(sides[name]) for name in TRACK.names]]
    assert "left and right exchanged" in str(doubts(replace(TRACK, positions=swapped))[0])


def test_a_robots_quaternion_order_and_degrees_are_named():
    body = load_body("g1")
    assert isinstance(body, RobotBody)
    frames = 20
    root_pos, root = np.tile([0.0, 0.0, 0.76], (frames, 1)), np.tile([1.0, 0.0, 0.0, 0.0], (frames, 1))

    def clip(stored: np.ndarray, order: str, angles: np.ndarray) -> Clip:
        quats = stored if order == "wxyz" else stored[:, [3, 0, 1, 2]]
        notes = {"robot": "g1", "quaternion_order": order}
        return body.robot.clip(50.0, root_pos, quats, angles, "a", Provenance(notes=notes))

    still = np.zeros((frames, 29))
    assert doubts(clip(root, "wxyz", still), body.robot) == []
    left = quat_from_rotvec(np.tile([0.0, 0.0, np.pi / 2], (frames, 1)))  # looking ahead both orders stand
    for stored, order, other in ((root, "xyzw", "wxyz"), (left[:, [1, 2, 3, 0]], "wxyz", "xyzw")):
        (doubt,) = doubts(clip(stored, order, still), body.robot)
        assert doubt.field == "quaternion order"
        assert f"--quat {other}" in doubt.expected
    bent = still.copy()
    bent[:, body.robot.hinge_names.index("left_elbow_joint")] = 5.0
    assert fields(clip(root, "wxyz", bent), body.robot) == ["hinge angles"]


def test_like_doubts_are_one_line():
    found = [("a", Doubt("up axis", "x", "y")), ("b", Doubt("ground", "x", "y")), ("c", Doubt("up axis", "z", "y"))]
    assert gathered(found) == ["a: up axis: x, expected y (and 1 more)", "b: ground: x, expected y"]


@pytest.mark.parametrize("command", ["evaluate", "validate", "convert", "loop"])
def test_every_command_that_reads_says_it(tmp_path, capsys, caplog, command):
    (tmp_path / "in").mkdir()
    path = saved_joints(tmp_path / "in" / "a.npy", "z")
    out = ["--out", str(tmp_path / "out")]
    if command == "loop":
        from morphloop.generator import FolderGenerator

        FolderGenerator(tmp_path / "in", ReadingConfig(FPS))
        assert "--up=z" in caplog.text
        caplog.clear()
        FolderGenerator(tmp_path / "in", ReadingConfig(FPS, up="z"))
        assert caplog.text == ""
        return
    more = {
        "evaluate": ["--no-wrench", "--workers", "0", "--json", str(tmp_path / "e.json")],
        "validate": [],
        "convert": [*out, "--to", "clip", "--overwrite"],
    }[command]
    for flags, said in (([], True), (["--up", "z"], False)):
        code = main([command, str(path), "--fps", str(FPS), *more, *flags])
        told = capsys.readouterr()
        lines = (told.out if command == "validate" else told.err).splitlines()
        assert any("--up=z" in line for line in lines) is said
        assert code == (1 if command == "validate" and said else 0)
    if command == "evaluate":
        (row,) = json.loads((tmp_path / "e.json").read_text())["clips"]
        assert "doubts" not in row


def test_axes_of_a_file_are_forgotten_in_files_of_ours(tmp_path):
    motion = read_motion(saved_joints(tmp_path / "a.npy", "y"), FPS)
    save_clip(tmp_path / "b.npz", motion)
    (doubt,) = doubts(replace(read_motion(tmp_path / "b.npz"), positions=motion.positions @ FRAMES["X up"].T))
    assert "--up=y" in doubt.expected


def test_a_body_of_unknown_names_is_not_judged_by_its_parts():
    names = ("root", *[f"thing_{k}" for k in range(23)])
    strange = replace(CLIP, skeleton=Skeleton(names, CLIP.skeleton.parents, CLIP.skeleton.offsets))
    assert doubts(strange) == []
