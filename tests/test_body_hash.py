"""What a body is known by: what makes it counts, the MuJoCo that compiled it does not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import mujoco
import numpy as np
import pytest

from morphloop.base import MotionError
from morphloop.imitator import load_policy
from morphloop.imitator.demonstrations.demonstrations import ARRAYS, load_demonstration
from morphloop.sim import Body, Recorder, certify, default_body
from morphloop.sim.bodies.body_hash import LEARNED_ON, model_hash
from morphloop.sim.bodies.build import build_spec

POLICY = Path(__file__).parents[1] / "assets" / "imitator" / "policy.safetensors"
BEFORE = ("28fe130570568022", "47e89d79018422e7")
"""What the built-in body was while its feet crept; the first from when the hash covered the bytes of MuJoCo 3.17.0."""
HEADER = 20
"""Bytes at the front of a saved model that tell the library's version and sizes."""


def changed(change: Callable[[mujoco.MjSpec], None]) -> str:
    spec = build_spec()
    change(spec)
    return model_hash(spec.compile())


def test_a_body_is_the_same_whatever_header_mujoco_writes(monkeypatch: pytest.MonkeyPatch):
    """Another version writes another header before the same model: body, shipped policy and rollouts go on."""
    body = Body()
    recorder = Recorder(body, body.model.qpos0, np.zeros(body.model.nv))
    recorder.step(np.zeros(body.model.nu))
    rollout, save = recorder.rollout(0), mujoco.mj_saveModel

    def other_version(model: mujoco.MjModel, path: str | None, buffer: np.ndarray) -> None:
        save(model, path, buffer)
        buffer[:HEADER] ^= 1

    monkeypatch.setattr(mujoco, "mj_saveModel", other_version)
    monkeypatch.setattr(mujoco, "__version__", "3.99.0")
    other = Body()
    assert other.hash == body.hash
    assert load_policy(POLICY, other).spec.action == other.model.nu
    assert certify(rollout, other).passed


@pytest.mark.parametrize("before", BEFORE)
def test_a_policy_learned_on_the_body_of_before_drives_todays(before: str, tmp_path: Path):
    policy = load_policy(POLICY)
    policy.spec = replace(policy.spec, body_hash=before)
    assert load_policy(policy.save(tmp_path / "policy.safetensors")).hash == policy.hash
    with pytest.raises(MotionError, match=before):
        load_policy(tmp_path / "policy.safetensors", default_body("hinge"))


@pytest.mark.parametrize("before", BEFORE)
def test_what_was_simulated_with_the_body_of_before_is_refused(before: str, tmp_path: Path):
    """It would not replay: contacts are others."""
    body = default_body()
    recorder = Recorder(body, body.model.qpos0, np.zeros(body.model.nv))
    recorder.step(np.zeros(body.model.nu))
    with pytest.raises(MotionError, match=before):
        certify(replace(recorder.rollout(0), model_hash=before), body)
    path, none = tmp_path / "demonstration.npz", {name: np.zeros((0, 2)) for name in ARRAYS}
    pose = {"root_pos": np.zeros((2, 3)), "rotations": np.tile([1.0, 0, 0, 0], (2, body.skeleton.num_joints, 1))}
    np.savez(path, body=np.array(body.hash), fps=np.array(30.0), **pose, **none)
    assert load_demonstration(path, body) is None, "it is this body's, and empty"
    np.savez(path, body=np.array(before), fps=np.array(30.0), **pose, **none)
    with pytest.raises(MotionError, match=f"recorded with body {before}"):
        load_demonstration(path, body)


def test_what_learned_on_is_now_is_what_ships():
    assert set(LEARNED_ON.values()) == {default_body().hash, default_body("hinge").hash}


def test_a_last_bit_of_what_the_compiler_works_out_is_no_other_body():
    body = Body()
    for name in ("body_mass", "body_inertia", "body_ipos", "body_quat", "geom_pos", "geom_quat", "jnt_axis"):
        field = getattr(body.model, name)
        field[:] = np.nextafter(field, np.inf)
    sphere = body.model.body("left_hand").id
    body.model.body_iquat[sphere] = (0.5, 0.5, 0.5, 0.5)  # its three moments are one: any axes are principal
    body.model.geom_quat[:] *= -1
    assert model_hash(body.model) == default_body().hash


def _set(place: Callable[[mujoco.MjSpec], object], **values: object) -> Callable[[mujoco.MjSpec], None]:
    def change(spec: mujoco.MjSpec) -> None:
        for name, value in values.items():
            setattr(place(spec), name, value)

    return change


def _string(spec: mujoco.MjSpec) -> None:
    tendon = spec.add_tendon(name="string")
    for name in ("left_foot_touch", "right_foot_touch"):
        tendon.wrap_site(name)


MAKES_A_BODY = {
    "name": _set(lambda s: s.body("head"), name="skull"),
    "offset": _set(lambda s: s.body("head"), pos=[0, 0, 0.1]),
    "mass": _set(lambda s: s.geom("head_0"), mass=4.7001),
    "gravity compensation": _set(lambda s: s.body("head"), gravcomp=1),
    "joint's place": _set(lambda s: s.joint("neck"), pos=[0, 0, 0.001]),
    "armature": _set(lambda s: s.joint("neck"), armature=0.13),
    "stiffness": _set(lambda s: s.joint("neck"), stiffness=[1.0, 0, 0]),
    "damping": _set(lambda s: s.joint("neck"), damping=[0.1, 0, 0]),
    "dry friction": _set(lambda s: s.joint("neck"), frictionloss=0.1),
    "geom": lambda s: s.body("head").add_geom(size=[0.01, 0, 0], mass=0.1),
    "size": _set(lambda s: s.geom("left_hand_0"), size=[0.051, 0, 0]),
    "collision": _set(lambda s: s.geom("head_0"), conaffinity=0),
    "grip": _set(lambda s: s.geom("floor"), friction=[1.01, 0.005, 0.0001]),
    "softness": _set(lambda s: s.geom("floor"), solref=[0.008, 1.0]),
    "adhesion": _set(lambda s: s.geom("floor"), adhesion=1.0),
    "gain": _set(lambda s: s.actuator("neck_x"), gainprm=[51.0] + 9 * [0.0]),
    "torque limit": _set(lambda s: s.actuator("neck_x"), forcerange=[-51, 51]),
    "servo's range": _set(lambda s: s.actuator("neck_x"), ctrlrange=[-0.1, 0.1]),
    "sensor": lambda s: s.delete(s.sensor("left_foot_touch")),
    "tendon": _string,
    "other body": lambda s: s.worldbody.add_body(name="box").add_geom(size=[0.1, 0, 0]),
    "time step": lambda s: setattr(s.option, "timestep", 1 / 310),
    "integrator": lambda s: setattr(s.option, "integrator", mujoco.mjtIntegrator.mjINT_IMPLICITFAST),
    "gravity": lambda s: setattr(s.option, "gravity", [0, 0, -1.62]),
    "medium": lambda s: setattr(s.option, "density", 1000.0),
    "wind": lambda s: setattr(s.option, "wind", [1, 0, 0]),
    "solver": lambda s: setattr(s.option, "iterations", 9),
}


@pytest.mark.parametrize("what", MAKES_A_BODY)
def test_what_makes_a_body_is_told_apart(what: str):
    assert changed(MAKES_A_BODY[what]) != default_body().hash


def test_what_only_shows_is_not():
    def paint(spec: mujoco.MjSpec) -> None:
        spec.geom("head_0").rgba = [1, 0, 0, 1]
        spec.worldbody.add_camera(name="side", pos=[0, -3, 1])
        spec.worldbody.add_light(pos=[0, 0, 3])
        spec.visual.global_.offwidth = 1920

    assert changed(paint) == default_body().hash
