"""What a certificate lets pass: honest physics, and none of the forgeries and helping hands that once passed."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import mujoco
import numpy as np
import pytest

from morphloop.base import MotionError, write_json
from morphloop.cli import main
from morphloop.envs import prepare
from morphloop.imitator import Projection
from morphloop.imitator.projection.config import RescueConfig
from morphloop.metrics import measure_rollout, track_errors
from morphloop.motion import (
    Clip,
    Rollout,
    load_clip,
    load_rollout,
    make_corpus,
    read_manifest,
    save_clip,
    save_rollout,
    write_manifest,
)
from morphloop.motion.rotations import quat_to_rotvec
from morphloop.refinement_loop import (
    LoopConfig,
    ProjectFolder,
    finished_rounds,
    hash_rows,
    run_faults,
    sealed,
    start_run,
    summaries,
    verify,
    write_report,
)
from morphloop.refinement_loop import project_folder as stage
from morphloop.sim import Body, Recorder, certify, default_body, replay
from morphloop.sim.bodies.build import JointModel, build_spec

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


def by_servos(source: Clip) -> Projection:
    """A projection by servos that are simply asked for the clip: real physics, honest figures."""
    body, reference = default_body(), prepare(source, default_body())
    recorder = Recorder(body, body.qpos_from_clip(reference)[0], np.zeros(body.model.nv))
    for target in quat_to_rotvec(reference.rotations[1:, 1:]).reshape(-1, body.model.nu):
        assert recorder.step(target)
    rollout = recorder.rollout(0, source.name)
    origin = replace(source.provenance, parent=source.id, stage="project", simulator=rollout.simulator)
    clip = body.clip_from_qpos(rollout.qpos, rollout.fps, source.name)
    clip = replace(clip, texts=source.texts, provenance=origin)
    tracking, sim = track_errors(clip, reference, completed=True), measure_rollout(rollout, body)
    certificate = certify(rollout, body)
    return Projection(source, reference, clip, rollout, "optimiser", tracking, certificate, None, 0.1, sim)


def motions(count: int, frames: int = 20) -> list[Clip]:
    """Clips of two thirds of a second in which the feet stand, as files keep them."""
    standing = ("raise_arm", "reach", "wave")
    corpus = [c for c in make_corpus(24, 5, "test") if c.provenance.notes["action"] in standing][:count]
    return [replace(clip.slice(0, frames), name=f"clip{k}", texts=(f"clip {k}",)) for k, clip in enumerate(corpus)]


def project_folder(folder: Path) -> ProjectFolder:
    return ProjectFolder(folder, default_body(), rescue=RescueConfig(keep=False))


@pytest.fixture(scope="module")
def projected(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as `project` leaves it, with one clip."""
    place = project_folder(tmp_path_factory.mktemp("projected"))
    rows = place.keep(by_servos(motions(1)[0]))
    write_json(place.folder / "config.json", place.settings())
    write_manifest(place.folder, rows)
    return place.folder


def replaced(folder: Path) -> None:
    path = folder / "clips" / "clip0.npz"
    clip = cast(Clip, load_clip(path))
    save_clip(path, clip.moved(np.array([0.0, 0.0, 0.3])))


def shortened(folder: Path) -> None:
    path = folder / "rollouts" / "clip0.npz"
    save_rollout(path, cut(load_rollout(path), 6))


def other_source(folder: Path) -> None:
    save_clip(folder / "sources" / "clip0.npz", replace(motions(2)[1], name="clip0"))


def flattered(folder: Path) -> None:
    """The reference is the clip itself, which then tracks it perfectly."""
    shutil.copy(folder / "clips" / "clip0.npz", folder / "references" / "clip0.npz")


def said(**values: Any) -> Callable[[Path], None]:
    """Write values into the record and the manifest; those of "after" into that."""

    def change(folder: Path) -> None:
        path = folder / "records" / "clip0.json"
        row = json.loads(path.read_text())
        row["after"] |= {name: value for name, value in values.items() if name in row["after"]}
        row |= {name: value for name, value in values.items() if name not in row["after"]}
        write_json(path, row)
        write_manifest(folder, [row])

    return change


def anew(change: Callable[[Path], None]) -> Callable[[Path], None]:
    """The change with all hashes made anew, as whoever knows this code can."""

    def also(folder: Path) -> None:
        change(folder)
        path = folder / "records" / "clip0.json"
        row = sealed(json.loads(path.read_text()), folder)
        write_json(path, row)
        write_manifest(folder, [row])

    return also


FOLDERS: dict[str, tuple[Callable[[Path], object], str]] = {
    "a clip replaced": (replaced, "clips/clip0.npz: changed since"),
    "a clip replaced, hashes anew": (anew(replaced), "clips/clip0.npz: is not what its rollout did"),
    "a rollout deleted": (lambda f: (f / "rollouts/clip0.npz").unlink(), "rollouts/clip0.npz: is missing"),
    "a rollout cut": (shortened, "rollouts/clip0.npz: changed since"),
    "a rollout cut, hashes anew": (anew(shortened), "clips/clip0.npz: is not what its rollout did"),
    "a record's slide set to 0": (said(slide_mean_mm_s=0.0), "records/clip0.json: changed since"),
    "a record's slide set to 0, hashes anew": (anew(said(slide_mean_mm_s=0.0)), "slide_mean_mm_s 0.0, measured again"),
    "a verdict forged, hashes anew": (anew(said(verdict="rejected", reason="fell")), "its figures say accepted"),
    "another source, hashes anew": (anew(other_source), "sources/clip0.npz: is not the clip that was projected"),
    "the clip for its reference, hashes anew": (anew(flattered), "references/clip0.npz: is not its source prepared"),
}
"""What is done to a folder of `project` afterwards, and how `verify` names it."""


Case = tuple[str, Callable[..., object], str | None]
TABLE: dict[str, Case] = {
    "an honest tendon motor between two hinges": ("hinges", hamstring, None),
    **{name: ("rollout", *case) for name, case in FORGED.items()},
    **{name: ("hand", *case) for name, case in HANDS.items()},
    **{name: ("folder", *case) for name, case in FOLDERS.items()},
}
"""All cases: what is tampered with, how, and what is said of it; None for what must pass."""


@pytest.mark.parametrize("name", TABLE)
def test_what_is_honest_passes_and_nothing_else(name: str, honest: Rollout, projected: Path, tmp_path: Path):
    kind, act, says = TABLE[name]
    if kind == "folder":
        folder = shutil.copytree(projected, tmp_path / "out")
        act(folder)
        faults = verify(folder).faults
        passed, why = not faults, "; ".join(faults)
    elif kind == "rollout":
        found = certify(cast(Rollout, act(honest)), default_body())
        passed, why = found.passed, found.reason or ""
    else:
        body = body_with(act, "hinge" if kind == "hinges" else "ball")
        found = certify(rolled(body), body)
        passed, why = found.passed, found.reason or ""
        assert found.bit_equal, "the replay has the same hand in it"
        assert found.no_external_forces is (says is None)
    assert passed is (says is None), why
    assert says is None or re.search(says, why), why


def test_the_table_is_whole():
    assert len(TABLE) == 55


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
    pairs = [(step.data.contact.geom > 0).all(axis=1).any() for step in replay(rollout, body)]
    assert any(pairs), "limbs touched"
    found = certify(rollout, body)
    assert found.passed, found.reason


def test_a_rollout_of_another_body_is_named_as_such(honest: Rollout):
    with pytest.raises(MotionError, match="rollout of model 0000, body 'smpl24' is"):
        certify(replace(honest, model_hash="0000"), default_body())


# -- the chain -------------------------------------------------------------------------------------------------------


def test_a_folder_holds_and_is_walked_by_the_command(projected: Path, tmp_path: Path, capsys: pytest.CaptureFixture):
    told = tmp_path / "told.json"
    rollout = projected / "rollouts" / "clip0.npz"
    assert main(["verify", str(projected), str(rollout), "--json", str(told)]) == 0
    folder, file = json.loads(told.read_text())["checked"]
    assert (folder["kind"], folder["clips"], folder["ok"], folder["faults"]) == ("project", 1, True, [])
    assert file["certificates"]["clip0"]["surroundings"]["gravity"] == [0.0, 0.0, -9.81]
    assert "gravity (0, 0, -9.81) m/s2" in capsys.readouterr().out
    other = shutil.copytree(projected, tmp_path / "other")
    said(slide_mean_mm_s=0.0)(other)
    assert main(["verify", str(projected), str(other)]) == 1
    assert f"{other}/records/clip0.json: changed since" in capsys.readouterr().out
    assert main(["verify", str(tmp_path / "nowhere"), str(projected)]) == 2
    assert main(["verify", str(projected / "clips" / "clip0.npz")]) == 2


def test_rules_and_tables_that_were_changed_are_named(projected: Path, tmp_path: Path):
    folder = shutil.copytree(projected, tmp_path / "out")
    settings = json.loads((folder / "config.json").read_text())
    settings["selection"]["min_skill"] = -9.0
    write_json(folder / "config.json", settings)
    assert verify(folder).faults == ["config.json: is not what clip0 was made with"]
    shutil.copy(projected / "config.json", folder)
    (folder / "manifest.jsonl").unlink()
    found = verify(folder)
    assert found.clips == 1
    assert len(found.faults) == 1
    assert found.faults[0].startswith("manifest.jsonl: no such file")


def test_a_table_is_held_to_its_rows(projected: Path, tmp_path: Path):
    row = json.loads((projected / "records" / "clip0.json").read_text())
    path, table = tmp_path / "table.json", {"schema": 1, "clips": [row], "rows": hash_rows([row])}
    table["summary"] = summaries([row])
    assert verify(write_json(path, table)).faults == []
    better = row | {"after": row["after"] | {"slide_mean_mm_s": 0.0}}
    assert verify(write_json(path, table | {"clips": [better]})).faults == [
        "table.json: clip0 changed since it was written",
        "table.json: its summary is not that of its clips",
    ]
    assert verify(write_json(path, table | {"clips": []})).faults[0].startswith("table.json: holds other clips")
    with pytest.raises(MotionError, match="not a table"):
        verify(write_json(path, {"schema": 1}))


def test_project_names_a_broken_link_and_does_the_clip_again(projected: Path, tmp_path: Path):
    source = motions(1)[0]
    whole = project_folder(projected)
    assert whole.finished(source) is not None
    assert whole.broken == []
    for case, named in (
        ("a clip replaced", "clips/clip0.npz: changed since it was written"),
        ("a rollout deleted", "rollouts/clip0.npz: is missing"),
        ("a record's slide set to 0", "records/clip0.json: changed since it was written"),
    ):
        place = project_folder(shutil.copytree(projected, tmp_path / named[:7]))
        FOLDERS[case][0](place.folder)
        assert place.finished(source) is None
        assert place.broken == [named]
        shutil.rmtree(place.folder)


def run_of(home: Path, monkeypatch: pytest.MonkeyPatch, frames: int = 20) -> Path:
    """A round over a folder of one clip, projected by servos."""

    def project_clips(clips: Sequence[Clip], policy: object, config: object, on_done: Callable, *rest: object) -> None:
        for clip in clips:
            on_done(by_servos(clip))

    monkeypatch.setattr(stage, "project_clips", project_clips)
    for clip in motions(1, frames):
        save_clip(home / "clips" / f"{clip.name}.npz", clip)
    start_run(home / "run", LoopConfig(clips=str(home / "clips")), lambda *told: None)
    return home / "run"


def test_a_run_with_a_rejected_clip_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The verdict's reason stands where the projector's stood; that is no forgery."""
    run = run_of(tmp_path, monkeypatch, frames=8)
    (row,) = read_manifest(run / "round_00" / "select")
    assert (row["verdict"], row["reason"]) == ("rejected", "too short")
    assert verify(run).faults == []


def test_a_run_is_walked_from_prompt_to_figure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    run = run_of(tmp_path, monkeypatch)
    home, name = run / "round_00", "000_clip_0"
    found = verify(run)
    assert (found.kind, found.clips, found.faults) == ("run", 1, [])
    assert "Changed since" not in write_report(run, tmp_path / "whole.html").read_text()

    row = json.loads((home / "select" / "manifest.jsonl").read_text())
    write_manifest(home / "select", [row | {"verdict": "rejected", "before": {}}])
    summary = json.loads((home / "select" / "summary.json").read_text())
    summary["all"]["after"]["jerk_mean_m_s3"]["mean"] = 1.0
    write_json(home / "select" / "summary.json", summary)
    save_clip(home / "generate" / "clips" / f"{name}.npz", motions(2)[1])
    (home / "project" / "rollouts" / f"{name}.npz").unlink()

    faults = "\n".join(verify(run).faults)
    links = "\n".join(run_faults(run, finished_rounds(run)))
    page = write_report(run, tmp_path / "page.html").read_text().split("Changed since")[1]
    for told in (
        f"round_00/generate/clips/{name}.npz: changed since the stage was finished",
        f"round_00/project/rollouts/{name}.npz: changed since the stage was finished",
        f"round_00/project/rollouts/{name}.npz: is missing",
        "round_00/select/manifest.jsonl: changed since the stage was finished",
        f"round_00/select/manifest.jsonl: {name}: before is not what the stage before it says",
        "round_00/select/manifest.json: counts are not its verdicts",
    ):
        assert told in faults
        assert told in links
        assert told in page
    assert f"round_00/project/sources/{name}.npz: is not the clip that was generated" in faults
    assert "round_00/select/summary.json: is not the summary of its clips" in faults
    assert main(["loop", "report", str(run)]) == 1
    (home / "measure" / "manifest.json").unlink()
    assert "round_00/measure/manifest.json: is missing" in run_faults(run, finished_rounds(run))
    (home / "select" / "summary.json").write_text('{"all": 1}')
    with pytest.raises(MotionError, match="cannot be shown"):
        write_report(run, tmp_path / "page.html")
