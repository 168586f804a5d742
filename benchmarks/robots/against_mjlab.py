"""The built-in G1 against mjlab's: `python benchmarks/robots/against_mjlab.py [--wheel mjlab-1.6.0-py3-none-any.whl]`.

mjlab's MJCF and constants come from its wheel, which pip fetches from PyPI unless it is given; mjlab itself is not
installed, and empty classes stand in for what its constants are handed to. Compared are masses, inertias, where every
link stands in mjlab's default pose and in random ones, ranges, torque and speed limits, armatures, gains and the
default pose. Exit code 1 if anything differs by more than `ALLOWED`.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import types
import zipfile
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import mujoco
import numpy as np

from morphloop.sim import DrivenRobot, driven_body

MJLAB = "1.6.0"
PARTS = ("mjlab/asset_zoo/robots/unitree_g1/", "mjlab/utils/actuator.py")
"""Of the wheel: all that is read."""
CONSTANTS = "mjlab.asset_zoo.robots.unitree_g1.g1_constants"
POSES, SEED = 20, 11
ALLOWED = {
    "total mass, share": 0.01,
    "mass of a link, kg": 1e-6,
    "centre of mass of a link, mm": 1e-3,
    "inertia of a link, share": 1e-4,
    "place of a link, default pose, mm": 1.0,
    "place of a link, random poses, mm": 1.0,
    "turn of a link, random poses, rad": 1e-3,
    "range of a hinge, rad": 1e-6,
    "torque limit, N m": 1e-6,
    "speed limit, rad/s": 1e-6,
    "armature, share": 1e-6,
    "stiffness, share": 1e-6,
    "damping, share": 1e-6,
    "angle of the stand, rad": 1e-6,
}
"""Largest differences."""


def fetched(folder: Path) -> Path:
    """The wheel from PyPI."""
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder), f"mjlab=={MJLAB}"]
    subprocess.run(pip, check=True)
    return next(folder.glob("mjlab-*.whl"))


def published(wheel: Path, folder: Path) -> tuple[mujoco.MjModel, Any]:
    """mjlab's model, and the module with its constants."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder, [name for name in archive.namelist() if name.startswith(PARTS)])
    plain = types.SimpleNamespace
    stands_in = {
        "mjlab": {"MJLAB_SRC_PATH": folder / "mjlab", "__path__": [str(folder / "mjlab")]},
        "mjlab.actuator": {"BuiltinPositionActuatorCfg": plain},
        "mjlab.entity": {"EntityArticulationInfoCfg": plain, "EntityCfg": plain(InitialStateCfg=plain)},
        "mjlab.utils.spec_config": {"CollisionCfg": plain},
    }
    for name, content in stands_in.items():
        sys.modules[name] = types.ModuleType(name)
        vars(sys.modules[name]).update(content)
    constants = import_module(CONSTANTS)
    return mujoco.MjModel.from_xml_path(str(constants.G1_XML)), constants


def matching(patterns: Mapping[str, float], name: str) -> float:
    """The value of the pattern that a hinge's name matches, zero if none does."""
    return next((value for pattern, value in patterns.items() if re.fullmatch(pattern, name)), 0.0)


def share(ours: np.ndarray | float, theirs: np.ndarray | float) -> float:
    """Largest difference as a share of theirs."""
    return float(np.max(np.abs(np.asarray(ours) - theirs) / np.abs(theirs)))


def full_inertia(model: mujoco.MjModel, link: int) -> np.ndarray:
    """(3, 3) inertia of a link about its centre of mass, in its own frame."""
    turn = np.empty(9)
    mujoco.mju_quat2Mat(turn, model.body_iquat[link])
    turn = turn.reshape(3, 3)
    return turn @ np.diag(model.body_inertia[link]) @ turn.T


class Pair:
    """Our model and theirs, posed alike."""

    def __init__(self, ours: mujoco.MjModel, theirs: mujoco.MjModel):
        self.models = ours, theirs
        self.data = tuple(mujoco.MjData(model) for model in self.models)
        names = [[model.body(k).name for k in range(1, model.nbody)] for model in self.models]
        if set(names[0]) != set(names[1]):
            raise SystemExit(f"links of one alone: {sorted(set(names[0]) ^ set(names[1]))}")
        self.links = names[1]
        self.hinges = [
            theirs.joint(k).name for k in range(theirs.njnt) if theirs.jnt_type[k] == mujoco.mjtJoint.mjJNT_HINGE
        ]
        self.rows = [[model.body(name).id for name in self.links] for model in self.models]
        self.joints = [[model.joint(name).id for name in self.hinges] for model in self.models]

    def apart(self, angles: np.ndarray) -> tuple[float, float]:
        """Largest distance, mm, and turn, rad, between a link of one and of the other; angles (H,) of the hinges."""
        places, turns = [], []
        for model, data, rows, joints in zip(self.models, self.data, self.rows, self.joints, strict=True):
            data.qpos[:7] = [0.0, 0.0, 0.8, 1.0, 0.0, 0.0, 0.0]
            data.qpos[model.jnt_qposadr[joints]] = angles
            mujoco.mj_kinematics(model, data)
            places.append(data.xpos[rows])
            turns.append(data.xmat[rows].reshape(-1, 3, 3))
        cosine = 0.5 * (np.einsum("nij,nij->n", *turns) - 1.0)
        turn = np.arccos(np.clip(cosine, -1.0, 1.0)).max()
        return 1e3 * float(np.linalg.norm(places[0] - places[1], axis=1).max()), float(turn)


def differences(body: DrivenRobot, theirs: mujoco.MjModel, constants: Any) -> dict[str, float]:
    """How far apart both are, by the names of `ALLOWED`."""
    ours = body.model
    pair = Pair(ours, theirs)
    own, other = pair.rows
    inertia, inertia_theirs = (
        np.array([full_inertia(model, k) for k in rows]) for model, rows in zip(pair.models, pair.rows, strict=True)
    )
    off = np.abs(inertia - inertia_theirs).max(axis=(1, 2)) / np.abs(inertia_theirs).max(axis=(1, 2))
    found = {
        "total mass, share": share(ours.body_mass[own].sum(), theirs.body_mass.sum()),
        "mass of a link, kg": float(np.abs(ours.body_mass[own] - theirs.body_mass[other]).max()),
        "centre of mass of a link, mm": 1e3 * float(np.abs(ours.body_ipos[own] - theirs.body_ipos[other]).max()),
        "inertia of a link, share": float(off.max()),
    }
    stand = np.array([matching(constants.KNEES_BENT_KEYFRAME.joint_pos, name) for name in pair.hinges])
    found["place of a link, default pose, mm"] = pair.apart(stand)[0]
    low, high = theirs.jnt_range[pair.joints[1]].T
    rng = np.random.default_rng(SEED)
    random = np.array([pair.apart(rng.uniform(low, high)) for _ in range(POSES)])
    found["place of a link, random poses, mm"], found["turn of a link, random poses, rad"] = random.max(axis=0).tolist()
    ranges = ours.jnt_range[pair.joints[0]] - theirs.jnt_range[pair.joints[1]]
    found["range of a hinge, rad"] = float(np.abs(ranges).max())
    return found | driven(body, pair, constants, stand)


def driven(body: DrivenRobot, pair: Pair, constants: Any, stand: np.ndarray) -> dict[str, float]:
    """The same of what drives the hinges."""
    ours, actuators = body.model, constants.G1_ARTICULATION.actuators

    def of_hinges(field: str) -> np.ndarray:
        patterns = {pattern: getattr(each, field) for each in actuators for pattern in each.target_names_expr}
        return np.array([matching(patterns, name) for name in pair.hinges])

    speeds = {motor.reflected_inertia: motor.velocity_limit for motor in motors(constants)}
    armature = of_hinges("armature")
    speed = [next(v for a, v in speeds.items() if np.isclose(each, [a, 2.0 * a]).any()) for each in armature]
    servos = [ours.actuator(name).id for name in pair.hinges]
    described = [body.description.dofs[name] for name in pair.hinges]
    rest = [body.description.stand.get(name, 0.0) for name in pair.hinges]
    dof = ours.jnt_dofadr[pair.joints[0]]
    return {
        "torque limit, N m": float(np.abs(ours.actuator_forcerange[servos, 1] - of_hinges("effort_limit")).max()),
        "speed limit, rad/s": float(np.abs(np.array([each.speed for each in described], float) - speed).max()),
        "armature, share": share(ours.dof_armature[dof], armature),
        "stiffness, share": share(ours.actuator_gainprm[servos, 0], of_hinges("stiffness")),
        "damping, share": share(-ours.actuator_biasprm[servos, 2], of_hinges("damping")),
        "angle of the stand, rad": float(np.abs(np.array(rest) - stand).max()),
    }


def motors(constants: Any) -> list[Any]:
    """mjlab's kinds of motor."""
    return [constants.ACTUATOR_5020, constants.ACTUATOR_7520_14, constants.ACTUATOR_7520_22, constants.ACTUATOR_4010]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--wheel", type=Path)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    body = driven_body("g1")
    assert isinstance(body, DrivenRobot)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        theirs, constants = published(args.wheel or fetched(folder), folder)
    found = differences(body, theirs, constants)
    for name, value in found.items():
        print(f"{name:36} {value:10.3g}  allowed {ALLOWED[name]:g}{'' if value <= ALLOWED[name] else '  DIFFERS'}")
    if args.json is not None:
        args.json.write_text(json.dumps(found, indent=2) + "\n")
    sys.exit(any(value > ALLOWED[name] for name, value in found.items()))


if __name__ == "__main__":
    main()
