"""Robots and clips that cannot be used: one line that names the cause, a non-zero exit, and the rest goes on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from morphloop.cli import main
from morphloop.motion import read_manifest, save_clip
from morphloop.sim import driven_body, standing
from morphloop.sim.bodies.built_in import built_in

from .test_robot_file import robot_text

SHORT_S = 0.3
BAD = {
    "equality": (
        {"</actuator>": '</actuator><equality><weld body1="skull" body2="chest"/></equality>'},
        "equality constraints or tendons",
    ),
    "one foot": ({'<body name="r_foot" pos="0 0 -0.34">': '<body name="r_foot" pos="0 0 0.2">'}, "no two feet"),
    "an object": (
        {"</worldbody>": '<body name="box" pos="1 0 1"><freejoint/><geom size=".1"/></body></worldbody>'},
        "1 bodies beside the robot",
    ),
    "no torque": ({'"-200 200"': '"0 0"'}, "expected all three above zero"),
}
"""What of the robot's file is changed, and a part of what is said."""


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A clip of the robot as it ought to be, in a folder of its own."""
    good = tmp_path / "good.xml"
    good.write_text(robot_text())
    return save_clip(tmp_path / "in" / "stand.npz", standing(driven_body(good), SHORT_S, 50.0))


def refused(words: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    assert main(words) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("morphloop: ")
    assert says in line


def driving(robot: Path, clip: Path, out: Path) -> list[list[str]]:
    """Commands that drive a robot, none of which does any work for one that cannot be driven."""
    prompts = out / "prompts.txt"
    out.mkdir(exist_ok=True)
    prompts.write_text("a person walks forward\n")
    body = ["--body", str(robot)]
    return [
        ["body", "check", str(robot)],
        ["project", str(clip), *body, "--out", str(out / "project"), "--workers", "0"],
        ["retarget", str(clip), *body, "--out", str(out / "retarget"), "--workers", "0"],
        ["train", "imitator", "--data", str(clip.parent), *body, "--out", str(out / "train")],
        ["loop", "run", "--prompts", str(prompts), *body, "--out", str(out / "loop")],
    ]


@pytest.mark.parametrize("name", BAD)
def test_a_robot_that_cannot_be_driven_is_refused_by_every_command(
    name: str, own: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changed, says = BAD[name]
    text = robot_text()
    for old, new in changed.items():
        assert old in text
        text = text.replace(old, new)
    path = tmp_path / "bad.xml"
    path.write_text(text)
    for words in driving(path, own, tmp_path / "out"):
        refused(words, says, capsys)


@pytest.mark.parametrize(
    ("yaml", "says"),
    [("head: nose\n", "no body 'nose' in bad.xml"), ("dofs: {tail: {}}\n", "no hinge 'tail' in bad.xml")],
)
def test_a_yaml_that_names_what_is_not_there_is_refused_by_every_command(
    yaml: str, says: str, own: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "bad.xml"
    path.write_text(robot_text())
    path.with_suffix(".yaml").write_text(yaml)
    for words in driving(path, own, tmp_path / "out"):
        refused(words, says, capsys)


def test_a_file_that_is_not_there_is_refused_by_every_command(
    own: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "absent.xml"
    for words in driving(path, own, tmp_path / "out"):
        refused(words, "absent.xml", capsys)
    refused(["evaluate", str(own), "--body", str(path)], "absent.xml", capsys)
    refused(["validate", str(own), "--body", str(path)], "absent.xml", capsys)
    words = ["convert", str(own), "--to", "mjlab", "--out", str(tmp_path / "c"), "--body", str(path)]
    refused(words, "absent.xml", capsys)


def test_actuators_on_the_root_are_left_out_and_that_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "pushed.xml"
    text = robot_text().replace("<freejoint/>", '<freejoint name="root"/>')
    text = text.replace("</actuator>", '<motor name="push" joint="root" gear="1 0 0 0 0 0"/></actuator>')
    path.write_text(text)
    with caplog.at_level("WARNING", "morphloop.sim"):
        body = driven_body(path)
    assert "1 actuators drive no hinge and are left out (push)" in caplog.text
    assert len(body.servo_names) == len(body.hinges)
    assert "push" not in body.servo_names


def test_a_clip_of_other_joints_is_named_and_the_rest_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("g1", "g1_23dof"):
        body = built_in(name)
        qpos = body.qpos_from_clip(standing(body, SHORT_S, 50.0))
        turn = qpos[:, [4, 5, 6, 3]]
        np.savez(folder / f"{name}.npz", root_pos=qpos[:, :3], root_quat_xyzw=turn, dof=qpos[:, 7:], fps=50.0)
    says = "g1.npz: dof has 29 joints a frame, expected the 23 hinges of 'g1_23dof'"
    words = ["--body", "g1_23dof"]
    project = ["project", str(folder), *words, "--out", str(tmp_path / "out"), "--workers", "0"]
    convert = ["convert", str(folder), *words, "--to", "gmr", "--out", str(tmp_path / "gmr")]
    for command in (["evaluate", str(folder), *words], project, convert):
        capsys.readouterr()
        assert main(command) == 2
        lines = [line for line in capsys.readouterr().err.splitlines() if "g1.npz" in line]
        assert len(lines) == 1
        assert says in lines[0]
    assert [row["name"] for row in read_manifest(tmp_path / "out")] == ["g1_23dof"]
    assert [path.stem for path in (tmp_path / "gmr").rglob("*.pkl")] == ["g1_23dof"]
