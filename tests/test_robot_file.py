"""Robots from files: what the rules find, what a YAML beside the file decides, and what is refused in one line."""

from __future__ import annotations

import json
from pathlib import Path

import mujoco
import numpy as np
import pytest
import yaml

from morphloop.base import MotionError
from morphloop.cli import main
from morphloop.motion import save_clip
from morphloop.sim import DrivenRobot, driven_body, load_body, open_robot, standing
from morphloop.sim.bodies.built_in import built_in
from morphloop.sim.bodies.robot_parts import plain

from .test_hinge_humanoid import mjcf

TORQUES = {"hip": 200, "knee": 200, "ankle": 120, "shoulder": 50, "elbow": 30}
LIMITED = '<joint name="{0}"'


def robot_text(**changed: str) -> str:
    """The hinge humanoid with a torque limit and a motor's armature at every hinge, as files of robots have them."""
    text = mjcf(**changed)
    for part, torque in TORQUES.items():
        for side in "lr":
            for name in (part, f"{part}_pitch", f"{part}_roll", f"{part}_yaw"):
                old = LIMITED.format(f"{side}_{name}")
                text = text.replace(f"{old} ", f'{old} actuatorfrcrange="-{torque} {torque}" ')
    return text


@pytest.fixture
def path(tmp_path: Path) -> Path:
    place = tmp_path / "robot.xml"
    place.write_text(robot_text())
    return place


def test_the_rules_find_its_parts(path: Path) -> None:
    robot = open_robot(path)
    found = robot.description
    assert found.feet == (("l_foot",), ("r_foot",))
    assert found.legs == (("l_thigh", "l_shin", "l_foot"), ("r_thigh", "r_shin", "r_foot"))
    assert (found.torso, found.head) == ("chest", "skull")
    assert {"hips", "l_shin", "r_foot"} <= set(found.lower)
    assert "chest" not in found.lower
    assert {"l_forearm", "r_forearm"} <= set(found.preview)
    assert found.balance is not None
    assert found.balance.legs[0] == (
        "l_hip_pitch",
        "l_hip_roll",
        "l_hip_yaw",
        "l_knee",
        "l_ankle_pitch",
        "l_ankle_roll",
    )
    assert found.balance.mirror == (1, -1, -1, 1, 1, -1)
    assert not robot.found.missing


def test_gains_follow_from_the_armature_unless_the_file_has_its_own(path: Path) -> None:
    body = driven_body(path)
    names = list(body.servo_names)
    pace = 2.0 * np.pi * 10.0
    knee, waist = names.index("l_knee"), names.index("waist")
    assert body.model.actuator_gainprm[knee, 0] == pytest.approx(0.02 * pace**2)
    assert -body.model.actuator_biasprm[knee, 2] == pytest.approx(4.0 * 0.02 * pace)
    assert body.model.actuator_gainprm[waist, 0] == 400.0
    assert body.model.actuator_forcerange[knee].tolist() == [-200.0, 200.0]


def test_what_the_rules_find_of_the_g1_is_what_ships(tmp_path: Path) -> None:
    """The rules, told nothing, name the links that the built-in description names by hand."""
    import morphloop.assets as assets

    text = (Path(assets.__file__).parent / "bodies" / "g1.xml").read_text()
    path = tmp_path / "g1.xml"
    path.write_text(text)
    found, ours = open_robot(path).description, built_in("g1").description
    assert (found.feet, found.legs, found.torso, found.head) == (ours.feet, ours.legs, ours.torso, ours.head)
    assert found.balance is not None
    assert ours.balance is not None
    assert found.balance.legs == ours.balance.legs
    assert found.balance.mirror == ours.balance.mirror


def test_a_yaml_beside_it_decides(path: Path) -> None:
    angles = {"hip_pitch": -0.4, "knee": 0.8, "ankle_pitch": -0.4}
    bent = {f"{side}_{name}": angle for side in "lr" for name, angle in angles.items()}
    path.with_suffix(".yaml").write_text(yaml.safe_dump({"head": "chest", "stand": bent, "standing_height": 0.2}))
    robot = open_robot(path)
    assert robot.description.head == "chest"
    assert robot.description.feet == (("l_foot",), ("r_foot",))
    body = robot.drive()
    clip = standing(body, 0.1, 30.0)
    knee = body.model.joint("l_knee").qposadr[0]
    assert np.allclose(body.qpos_from_clip(clip)[:, knee], 0.8)
    assert clip.positions[0, body.skeleton.index("hips"), 2] < 0.76


def test_its_printed_description_is_taken_back(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = plain(open_robot(path).description)
    assert main(["body", "check", str(path), "--yaml"]) == 0
    path.with_suffix(".yaml").write_text(capsys.readouterr().out)
    robot = open_robot(path)
    assert set(robot.given) == set(before)
    assert plain(robot.description) == before


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"head": "nose"}, "no body 'nose'"),
        ({"dofs": {"tail": {}}}, "no hinge 'tail'"),
        ({"wings": 2}, "unknown wings"),
        ([1], "expected names and values"),
    ],
)
def test_a_yaml_that_is_wrong_is_one_line(path: Path, given: object, says: str) -> None:
    path.with_suffix(".yaml").write_text(yaml.safe_dump(given))
    with pytest.raises(MotionError, match=says):
        open_robot(path)


def test_what_cannot_be_driven_is_one_line(tmp_path: Path) -> None:
    cases = {
        "no torque": (mjcf(), "hinge '.*' has stiffness .* and torque None"),
        "zero torque": (robot_text().replace('"-30 30"', '"0 0"'), "elbow.* torque None"),
        "an object": (
            robot_text(
                **{"</worldbody>": '<body name="box" pos="1 0 1"><freejoint/><geom size=".1"/></body></worldbody>'}
            ),
            "1 bodies beside the robot",
        ),
        "no knee": (robot_text(**{'name="l_knee" axis="0 1 0"': 'name="l_knee" axis="1 0 0"'}), "no knee"),
        "a slide": (robot_text(**{'name="l_ankle_roll" axis': 'name="l_ankle_roll" type="slide" axis'}), "type slide"),
    }
    for name, (text, says) in cases.items():
        path = tmp_path / f"{name.replace(' ', '_')}.xml"
        path.write_text(text)
        with pytest.raises(MotionError, match=says) as caught:
            driven_body(path)
        assert "\n" not in str(caught.value)


def test_static_bodies_are_part_of_their_parents(tmp_path: Path) -> None:
    """A sole welded to a foot bears its load: the sensor of the foot sees it, and no body is left that cannot move."""
    sole = '<body name="{s}_sole"><geom type="box" pos="0.03 0 -0.035" size="0.10 0.045 0.015" mass="0.8"/></body>'
    path = tmp_path / "robot.xml"
    text = robot_text().replace('<geom type="box" pos="0.03 0 -0.035" size="0.10 0.045 0.015" mass="0.8"/>', sole)
    for side in "lr":
        text = text.replace("{s}_sole", f"{side}_sole", 1)
    path.write_text(text)
    body = driven_body(path)
    assert body.description.feet == (("l_foot",), ("r_foot",))
    assert not any(name.endswith("sole") for name in body.skeleton.names)
    assert load_body(path).skeleton == body.skeleton


def test_a_missing_mesh_leaves_boxes_and_a_word(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "robot.xml"
    text = robot_text().replace(
        '<geom type="sphere" size="0.08" mass="3"/>',
        '<inertial pos="0 0 0" mass="3" diaginertia=".01 .01 .01"/><geom type="mesh" mesh="skull"/>',
    )
    path.write_text(text.replace("<worldbody>", '<asset><mesh name="skull" file="skull.stl"/></asset><worldbody>', 1))
    with caplog.at_level("WARNING", "morphloop.sim"):
        body = driven_body(path)
    assert "skull.stl" in caplog.text
    skull = body.model.body("skull").id
    kinds = [body.model.geom_type[g] for g in np.flatnonzero(body.model.geom_bodyid == skull)]
    assert kinds == [mujoco.mjtGeom.mjGEOM_BOX]
    assert isinstance(body, DrivenRobot)
    clip = save_clip(tmp_path / "stand.npz", standing(body, 0.3, 50.0))
    assert main(["evaluate", str(clip), "--body", str(path), "--no-wrench"]) == 0
    assert load_body(path).skeleton == body.skeleton


def test_what_touches_where_it_stands_may_pass(tmp_path: Path) -> None:
    """Forearms that reach into the hips as built do not push: the pair is excluded, another is not."""
    path = tmp_path / "robot.xml"
    text = robot_text(**{' contype="0" conaffinity="0"': ""}).replace('pos="0 0.16 0.25"', 'pos="0 0.09 0.25"')
    path.write_text(text)
    robot = open_robot(path)
    assert any("l_" in pair for pairs in robot.passing for pair in pairs)
    body = robot.drive()
    data = mujoco.MjData(body.model)
    data.qpos[2] += 1.0
    mujoco.mj_forward(body.model, data)
    assert data.ncon == 0


def test_body_check_says_what_it_found_and_that_it_stands(
    path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["body", "check", str(path), "--json", str(tmp_path / "check.json")]) == 0
    out = capsys.readouterr().out
    assert "feet: l_foot and r_foot" in out
    assert "it stands for 3 s" in out
    told = json.loads((tmp_path / "check.json").read_text())
    assert told["fell"] is None
    assert told["servos"] == 20


def test_body_check_names_what_falls(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Knees of half a newton metre hold nobody that bends them."""
    text = robot_text()
    for torque in (200, 120):
        text = text.replace(f'"-{torque} {torque}"', '"-0.5 0.5"')
    path.write_text(text)
    angles = {"hip_pitch": -0.4, "knee": 0.8, "ankle_pitch": -0.4}
    bent = {f"{side}_{name}": angle for side in "lr" for name, angle in angles.items()}
    path.with_suffix(".yaml").write_text(yaml.safe_dump({"stand": bent}))
    assert main(["body", "check", str(path)]) == 1
    assert "it falls:" in capsys.readouterr().out
