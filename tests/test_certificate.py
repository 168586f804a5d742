"""What a certificate lets pass: honest physics, and none of the forgeries and helping hands that once passed."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import cast

import mujoco
import numpy as np
import pytest

from morphloop.motion import MotionError, Rollout
from morphloop.sim import Body, Recorder, certify, default_body, replay
from morphloop.sim.body import JointModel, build_spec

STEPS = 8
Spec = mujoco.MjSpec


def rolled(body: Body, steps: int = STEPS, height: float = 0.0) -> Rollout:
    """A body that comes down on its feet and moves on a little, under controls of a fixed seed."""
    model, rng = body.model, np.random.default_rng(1)
    qpos, qvel = model.qpos0.copy(), 0.1 * rng.normal(size=model.nv)
    qpos[2] += height
    recorder = Recorder(body, qpos, qvel)
    for ctrl in 0.1 * rng.normal(size=(steps, model.nu)):
        assert recorder.step(ctrl)
    return recorder.rollout(seed=0)


@pytest.fixture(scope="module")
def honest() -> Rollout:
    return rolled(default_body())


def moved(rollout: Rollout, name: str, frame: int, column: int, by: float) -> Rollout:
    array = getattr(rollout, name).copy()
    array[frame, column] += by
    return replace(rollout, **{name: array})


def appended(rollout: Rollout) -> Rollout:
    """One more frame of everything, as if it had stood still."""
    return replace(
        rollout,
        **{
            name: np.concatenate([getattr(rollout, name), getattr(rollout, name)[-1:]])
            for name in ("qpos", "qvel", "ctrl", "foot_contact", "foot_force")
        },
    )


def hanging(rollout: Rollout) -> Rollout:
    """Two seconds of a body in the air that no physics step ever moves."""
    frames = 61
    qpos = np.tile(rollout.qpos[0], (frames, 1))
    qpos[:, 2] += 1.0
    start = rollout.start.copy()
    start[3] += 1.0  # time first, then the root's position
    none = np.zeros((frames, 2))
    return replace(
        rollout,
        substeps=0,
        start=start,
        qpos=qpos,
        qvel=np.tile(rollout.qvel[0], (frames, 1)),
        ctrl=np.zeros((frames - 1, rollout.ctrl.shape[1])),
        foot_force=none,
        foot_contact=none > 0,
    )


def elsewhere(rollout: Rollout) -> Rollout:
    return replace(rollout, simulator="mujoco 3.99.0")


def cut(rollout: Rollout, frames: int) -> Rollout:
    return replace(
        rollout,
        qpos=rollout.qpos[:frames],
        qvel=rollout.qvel[:frames],
        ctrl=rollout.ctrl[: max(frames - 1, 0)],
        foot_force=rollout.foot_force[:frames],
        foot_contact=rollout.foot_contact[:frames],
    )


def floated(rollout: Rollout) -> Rollout:
    """Five metres up after a second, under another simulator's name."""
    long = rolled(default_body(), 40)
    qpos = long.qpos.copy()
    qpos[31:, 2] += 5.0
    return elsewhere(replace(long, qpos=qpos))


FORGED: dict[str, tuple[Callable[[Rollout], Rollout], str]] = {
    "frame 0 of qpos moved": (lambda r: moved(r, "qpos", 0, 0, 0.1), "at frame 0, its start"),
    "frame 0 of qvel moved": (lambda r: moved(r, "qvel", 0, 0, 1e-9), "at frame 0, its start"),
    "a frame of qpos moved": (lambda r: moved(r, "qpos", 5, 2, 1e-12), "replay differs by .* at frame 5"),
    "the last frame of qvel moved": (lambda r: moved(r, "qvel", STEPS, 3, 1e-12), f"at frame {STEPS}"),
    "a control changed": (lambda r: moved(r, "ctrl", 2, 7, 1e-3), "at frame 3"),
    "the start moved": (lambda r: replace(r, start=np.where(np.arange(len(r.start)) == 3, 1.0, r.start)), "frame 0"),
    "foot forces written in": (lambda r: moved(r, "foot_force", 4, 0, 300.0), "foot forces differ .* at frame 4"),
    "foot forces before any step": (lambda r: moved(r, "foot_force", 0, 1, 300.0), "forces at frame 0"),
    "foot contacts written in": (lambda r: replace(r, foot_contact=~r.foot_contact), "foot contacts"),
    "30 fps told as 60": (lambda r: replace(r, fps=60.0), "make 30 control steps a second, the file says 60 fps"),
    "30 fps told as 1": (lambda r: replace(r, fps=1.0), "the file says 1 fps"),
    "no frame rate": (lambda r: replace(r, fps=float("nan")), "fps is nan"),
    "substeps told as 1": (lambda r: replace(r, substeps=1), "make 300 control steps"),
    "no substeps, hanging in the air": (hanging, "0 physics steps"),
    "frames without controls": (lambda r: replace(appended(r), ctrl=r.ctrl), "ctrl has shape"),
    "frames appended": (appended, f"at frame {STEPS + 1}"),
    "another simulator and NaN": (lambda r: elsewhere(moved(r, "qpos", 5, 0, np.nan)), "qpos holds NaN"),
    "another simulator and five metres of height": (floated, "at frame 31, over 0.001"),
    "no control step": (lambda r: cut(r, 1), "at least one control step"),
    "no frame": (lambda r: cut(r, 0), "at least one control step"),
    "qpos of another width": (lambda r: replace(r, qpos=r.qpos[:, :-1]), "qpos has shape"),
    "start of another length": (lambda r: replace(r, start=r.start[:-1]), "start has shape"),
    "single precision": (lambda r: replace(r, qvel=r.qvel.astype(np.float32)), "qvel is float32"),
    "text for numbers": (lambda r: replace(r, ctrl=r.ctrl.astype(str)), "ctrl is <U"),
    "numbers for contacts": (lambda r: replace(r, foot_contact=r.foot_force), "foot_contact is float64"),
}
"""What is done to an honest rollout, and what the certificate says of it."""


def tendon(spec: Spec, name: str, segment: str) -> mujoco.MjsTendon:
    """A string from the ceiling to a segment."""
    spec.worldbody.add_site(name=f"{name}_ceiling", pos=[0, 0, 3])
    spec.body(segment).add_site(name=f"{name}_end")
    string = spec.add_tendon(name=name)
    string.wrap_site(f"{name}_ceiling")
    string.wrap_site(f"{name}_end")
    return string


def pulled(spec: Spec) -> None:
    string = tendon(spec, "string", "spine3")
    string.stiffness, string.springlength = [400.0, 0, 0], [0.0, 1.0]


def hung(spec: Spec) -> None:
    string = tendon(spec, "string", "pelvis")
    string.limited, string.range = True, [0.0, 3.0 - 1.0]


def motor(
    spec: Spec, kind: mujoco.mjtTrn, target: str, force: float, gear: tuple[float, ...] = (1, 0, 0, 0, 0, 0)
) -> None:
    """An actuator that gives `force` whatever it is told."""
    added = spec.add_actuator(name="hand", trntype=kind, target=target, gear=gear)
    added.gaintype, added.biastype = mujoco.mjtGain.mjGAIN_FIXED, mujoco.mjtBias.mjBIAS_AFFINE
    added.gainprm, added.biasprm = [0.0] * 10, [force] + [0.0] * 9


def winch(spec: Spec) -> None:
    """The second tendon's motor; the first one runs between two joints of the body and is honest."""
    ties = spec.add_tendon(name="first")
    for joint in ("left_foot_touch", "left_ankle_touch"):
        ties.wrap_site(joint)
    tendon(spec, "second", "spine3")
    motor(spec, mujoco.mjtTrn.mjTRN_TENDON, "second", -100.0)


def carried(spec: Spec) -> None:
    """A free body under the torso."""
    cart = spec.worldbody.add_body(name="cart", pos=[0.25, 0, 0.9])
    cart.add_freejoint()
    cart.add_geom(type=mujoco.mjtGeom.mjGEOM_BOX, size=[0.3, 0.3, 0.02], mass=5, contype=1, conaffinity=1)
    cart.gravcomp = 1


def boxed(spec: Spec) -> None:
    """A step of 20 mm under the feet, in the world as the floor is."""
    box = spec.worldbody.add_geom(name="step", type=mujoco.mjtGeom.mjGEOM_BOX, size=[1, 1, 0.02])
    box.contype, box.conaffinity = 1, 0


def welded(spec: Spec) -> None:
    weld = spec.add_equality(type=mujoco.mjtEq.mjEQ_WELD, name1="spine3", objtype=mujoco.mjtObj.mjOBJ_BODY)
    weld.solref = [0.1, 1.0]


def option(**values: object) -> Callable[[Spec], None]:
    def change(spec: Spec) -> None:
        for name, value in values.items():
            setattr(spec.option, name, value)

    return change


def root(**values: object) -> Callable[[Spec], None]:
    def change(spec: Spec) -> None:
        for name, value in values.items():
            setattr(spec.joint("root"), name, value)

    return change


def floor(**values: object) -> Callable[[Spec], None]:
    def change(spec: Spec) -> None:
        for name, value in values.items():
            setattr(spec.geom("floor"), name, value)

    return change


NO_GRAVITY = int(mujoco.mjtDisableBit.mjDSBL_GRAVITY)
UNDECLARED = "not the declared body's"
HANDS: dict[str, tuple[Callable[[Spec], object], str]] = {
    "gravity off": (option(disableflags=NO_GRAVITY), UNDECLARED),
    "the moon's gravity": (option(gravity=[0, 0, -1.62]), UNDECLARED),
    "gravity with a slant": (option(gravity=[1.0, 0, -9.81]), UNDECLARED),
    "wind": (option(density=1.2, wind=[5.0, 0, 0]), "fluid"),
    "a dense medium": (option(density=1000.0), "fluid"),
    "a viscous medium": (option(viscosity=1.0), "fluid"),
    "gravity compensation": (lambda s: setattr(s.body("spine3"), "gravcomp", 0.5), "gravity compensation"),
    "adhesion": (floor(adhesion=200.0), "adhesion|constraint"),
    "a spring tendon to the ceiling": (pulled, "spring"),
    "a string to the ceiling": (hung, "constraint"),
    "stiffness of the root": (root(stiffness=[500.0, 0, 0]), "spring"),
    "damping of the root": (root(damping=[50.0, 0, 0]), "damper"),
    "friction of the root": (root(frictionloss=5.0), "constraint"),
    "armature of the root": (root(armature=5.0), UNDECLARED),
    "a motor on a site": (
        lambda s: motor(s, mujoco.mjtTrn.mjTRN_SITE, "left_foot_touch", 50.0, (0, 0, 1, 0, 0, 0)),
        "actuator",
    ),
    "a motor on a second tendon": (winch, "actuator"),
    "a free body that carries the torso": (carried, "constraint"),
    "a box under the feet": (boxed, "constraint"),
    "a weld to the world": (welded, "constraint"),
    "a floor that pushes from afar": (floor(margin=0.05), "constraint"),
}
"""What is added to the body's model, and by which name the hand is told."""


def body_with(change: Callable[[Spec], object], joints: JointModel = "ball") -> Body:
    spec, body = build_spec(joints=joints), Body(joints=joints)
    change(spec)
    body.model = spec.compile()
    return body


def hamstring(spec: Spec) -> None:
    """A motor on a tendon between hinges of knee and ankle: it turns both and lifts nothing."""
    string = spec.add_tendon(name="hamstring")
    string.wrap_joint("left_knee_y", 1.0)
    string.wrap_joint("left_ankle_y", -0.5)
    motor(spec, mujoco.mjtTrn.mjTRN_TENDON, "hamstring", 5.0)


Case = tuple[str, Callable[..., object], str | None]
TABLE: dict[str, Case] = {
    "an honest tendon motor between two hinges": ("hinges", hamstring, None),
    **{name: ("rollout", *case) for name, case in FORGED.items()},
    **{name: ("hand", *case) for name, case in HANDS.items()},
}
"""All cases: what is tampered with, how, and what is said of it; None for what must pass."""


@pytest.mark.parametrize("name", TABLE)
def test_the_certificate_passes_what_is_honest_and_nothing_else(name: str, honest: Rollout):
    kind, act, said = TABLE[name]
    if kind == "rollout":
        found = certify(cast(Rollout, act(honest)), default_body())
    else:
        body = body_with(act, "hinge" if kind == "hinges" else "ball")
        found = certify(rolled(body), body)
        assert found.bit_equal, "the replay has the same hand in it"
        assert found.no_external_forces is (said is None)
    assert found.passed is (said is None), found.reason
    assert said is None or re.search(said, found.reason or ""), found.reason


def test_an_honest_rollout_passes_and_says_in_what_it_was_simulated(honest: Rollout):
    found = certify(honest, default_body())
    assert (found.passed, found.bit_equal, found.max_error, found.force_error) == (True, True, 0.0, 0.0)
    assert (found.steps, found.bound, found.reason) == (STEPS, 0.0, None)
    assert max(found.hand_force, found.hand_torque) < 1e-8
    around = found.surroundings
    assert (around.gravity, around.density, around.viscosity, around.wind) == ((0, 0, -9.81), 0.0, 0.0, (0, 0, 0))
    assert (around.ground, around.others) == ({"floor": 1.0}, ())


def test_what_stands_beside_the_body_is_named():
    body = body_with(carried)
    found = certify(rolled(body, 2), body)
    assert found.surroundings.others == ("cart",)
    body = body_with(boxed)
    assert certify(rolled(body, 2), body).surroundings.others == ("step",)


def test_another_builds_rollout_is_held_to_a_bound_and_never_called_bit_equal(honest: Rollout):
    found = certify(elsewhere(honest), default_body())
    assert (found.passed, found.bit_equal, found.max_error, found.bound) == (True, False, 0.0, 1e-3)
    near = certify(elsewhere(moved(honest, "qpos", 5, 4, 1e-9)), default_body())
    assert near.passed
    assert near.max_error == pytest.approx(1e-9, rel=1e-3)


def test_limbs_that_push_each_other_are_no_hand():
    """Contact between two parts of the body cancels on its root."""

    def touching(spec: Spec) -> None:
        for side in ("left", "right"):
            hand = spec.geom(f"{side}_hand_0")
            hand.size, hand.contype, hand.conaffinity = [0.25, 0, 0], 2, 3
        for name in ("left_hip_0", "right_hip_0"):
            spec.geom(name).contype, spec.geom(name).conaffinity = 2, 3

    body = body_with(touching)
    rollout = rolled(body, 4)
    pairs = [step.data.contact.geom.min() > 0 for step in replay(rollout, body)]
    assert any(pairs), "limbs touched"
    found = certify(rollout, body)
    assert found.passed, found.reason


def test_a_rollout_of_another_body_is_named_as_such(honest: Rollout):
    with pytest.raises(MotionError, match="rollout of model 0000, body 'smpl24' is"):
        certify(replace(honest, model_hash="0000"), default_body())
