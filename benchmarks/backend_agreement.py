"""How far one control step on `mujoco_warp` (single precision) lands from the same step on `mujoco.batch` (double).

    python benchmarks/backend_agreement.py [--states 240] [--seed 0] [--device cpu] [--json FILE]

States come from corpus walks, jumps and falls rolled here; both backends start from the same single-precision numbers
with a cold solver and run it to convergence. Every state beyond the bounds is listed with the contacts that one side
has and the other has not.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import mujoco
import mujoco_warp as mjw
import numpy as np
import torch
import warp as wp

from morphloop.base import MotionError, write_json
from morphloop.envs import build_library, prepare
from morphloop.motion import make_corpus
from morphloop.sim import Body, CpuPhysics, ModelFields, Variation
from morphloop.sim.physics.warp import WarpPhysics

ITERATIONS, LINE_SEARCH, TOLERANCE = 50, 50, 1e-10
"""Solver of both sides. Newton takes at most 7 iterations in the states of seed 0; more of them change nothing."""
QPOS_BOUND, QVEL_BOUND = 1e-5, 2e-3
"""What 99 of 100 states must keep to, largest component of each."""
GAITS = ("walk", "walk_backward", "jump", "jump_forward", "run", "squat", "kick", "side_step")
NOISE = 0.1
"""Radians of noise on the PD targets of a third of the rollouts."""
PUSH = 2.0
"""Metres a second that another third is pushed sideways, and falls."""
EVERY = 3
"""Control steps before the first state that is taken from a rollout, and between two."""
LEAST_CONTACTS = 2
ROLLOUTS, STEPS, CLIPS = 24, 75, 60


@dataclass(frozen=True)
class States:
    """S states and the controls to step them under: qpos (S, nq), qvel (S, nv), ctrl (S, nu), single precision.

    contacts: (S,) how many contacts each has at once.
    """

    qpos: torch.Tensor
    qvel: torch.Tensor
    ctrl: torch.Tensor
    contacts: np.ndarray


@dataclass(frozen=True)
class Outlier:
    """A state beyond a bound. contacts_only_cpu, contacts_only_warp: geom pairs and substeps, as "substep: a on b"."""

    state: int
    qpos: float
    qvel: float
    contacts_only_cpu: list[str]
    contacts_only_warp: list[str]


@dataclass(frozen=True)
class Agreement:
    """Errors of one control step, (S,) each: largest component of qpos and of qvel; and the states beyond a bound."""

    qpos: np.ndarray
    qvel: np.ndarray
    outliers: list[Outlier]


def converged_body() -> Body:
    """The default body with a solver that runs to the end."""
    body = Body()
    option = body.model.opt
    option.iterations, option.ls_iterations, option.tolerance = ITERATIONS, LINE_SEARCH, TOLERANCE
    return body


def contact_states(body: Body, count: int, seed: int) -> States:
    """Roll corpus clips on the CPU: a third follows its clip open loop, a third with noise, a third is pushed over.

    Raises MotionError if the rollouts hold fewer than `count` states with `LEAST_CONTACTS`.
    """
    clips = [clip for clip in make_corpus(CLIPS, seed) if clip.name.split("_train")[0] in GAITS]
    library = build_library([prepare(clip, body) for clip in clips], body)
    clip = torch.arange(ROLLOUTS) % len(clips)
    rng = torch.Generator().manual_seed(seed)
    physics = CpuPhysics(body, ROLLOUTS)
    frame = (torch.rand(ROLLOUTS, generator=rng) * 0.5 * library.length[clip]).long()
    qvel = library.qvel[library.rows(clip, frame)].clone()
    third = torch.arange(ROLLOUTS) % 3
    qvel[:, 1] += PUSH * (third == 2)
    physics.set_state(torch.arange(ROLLOUTS), library.qpos[library.rows(clip, frame)], qvel)
    taken: list[tuple[torch.Tensor, ...]] = []
    for step in range(STEPS):
        noise = NOISE * torch.randn(ROLLOUTS, body.model.nu, generator=rng) * (third == 1)[:, None]
        ctrl = library.target[library.rows(clip, frame + step + 1)] + noise
        if (
            step and step % EVERY == 0
        ):  # at step 0 soles are laid on the ground to 1e-7 m, a state that physics never made
            taken.append((physics.qpos.float(), physics.qvel.float(), ctrl))
        physics.ctrl[:] = ctrl
        physics.step()
    qpos, qvel, ctrl = (torch.cat(parts) for parts in zip(*taken, strict=True))
    found = np.array([len(pairs) for pairs in _cpu_contacts(body.model, qpos, qvel, ctrl, 1, None)])
    rich = np.flatnonzero(found >= LEAST_CONTACTS)
    if len(rich) < count:
        raise MotionError(f"{len(rich)} states with {LEAST_CONTACTS} contacts in the rollouts, expected {count}")
    rows = rich[np.linspace(0, len(rich) - 1, count).astype(int)]
    return States(qpos[rows], qvel[rows], ctrl[rows], found[rows])


def compare(body: Body, states: States, device: str = "cpu", models: ModelFields | None = None) -> Agreement:
    """One control step of all states on both backends."""
    count = len(states.qpos)
    cpu, warp = CpuPhysics(body, count, models=models), WarpPhysics(body, count, device, models)
    warp.model.opt.tolerance.fill_(TOLERANCE)  # put_model does not go under 1e-6
    for physics in (cpu, warp):
        ids = torch.arange(count, device=physics.device)
        physics.set_state(ids, states.qpos.to(physics.device), states.qvel.to(physics.device))
        physics.ctrl[:] = states.ctrl.to(physics.ctrl)
        physics.step()
    qpos = (cpu.qpos - warp.qpos.cpu()).abs().amax(dim=1).numpy()
    qvel = (cpu.qvel - warp.qvel.cpu()).abs().amax(dim=1).numpy()
    beyond = np.flatnonzero((qpos > QPOS_BOUND) | (qvel > QVEL_BOUND))
    apart = _explain(body, states, beyond, warp, models) if len(beyond) else []
    outliers = [Outlier(int(s), float(qpos[s]), float(qvel[s]), *only) for s, only in zip(beyond, apart, strict=True)]
    return Agreement(qpos, qvel, outliers)


def _explain(
    body: Body, states: States, rows: np.ndarray, warp: WarpPhysics, models: ModelFields | None
) -> list[tuple[list[str], list[str]]]:
    """Contacts of states `rows` that only the CPU, and only Warp, had in some substep."""
    per_env = (lambda row: models.model(body, int(rows[row]))) if models else None
    cpu = _cpu_contacts(body.model, states.qpos[rows], states.qvel[rows], states.ctrl[rows], body.substeps, per_env)
    other = _warp_contacts(body.model, states, warp)
    return [
        (sorted((a - b).elements()), sorted((b - a).elements()))
        for a, b in zip(cpu, [other[r] for r in rows], strict=True)
    ]


def _label(model: mujoco.MjModel, substep: int, geom: np.ndarray) -> str:
    return f"{substep}: {model.geom(int(geom[1])).name} on {model.geom(int(geom[0])).name}"


def _cpu_contacts(
    model: mujoco.MjModel,
    qpos: torch.Tensor,
    qvel: torch.Tensor,
    ctrl: torch.Tensor,
    substeps: int,
    per_env: Callable[[int], mujoco.MjModel] | None,
) -> list[Counter[str]]:
    """Contacts of every state in each substep, counted by geom pair."""
    data, found = mujoco.MjData(model), []
    for row in range(len(qpos)):
        own = per_env(row) if per_env else model
        mujoco.mj_resetData(own, data)
        data.qpos[:], data.qvel[:], data.ctrl[:] = qpos[row], qvel[row], ctrl[row]
        pairs: Counter[str] = Counter()
        for substep in range(substeps):
            mujoco.mj_step(own, data)
            pairs.update(_label(model, substep, geom) for geom in data.contact.geom)
        found.append(pairs)
    return found


def _warp_contacts(model: mujoco.MjModel, states: States, warp: WarpPhysics) -> list[Counter[str]]:
    """The same of all states on Warp, one substep after another."""
    ids = torch.arange(len(states.qpos), device=warp.device)
    warp.set_state(ids, states.qpos.to(warp.device), states.qvel.to(warp.device))
    warp.ctrl[:] = states.ctrl.to(warp.ctrl)
    found: list[Counter[str]] = [Counter() for _ in ids]
    with wp.ScopedDevice(str(warp.device)):
        for substep in range(warp.body.substeps):
            mjw.step(warp.model, warp.data)
            count = int(warp.data.nacon.numpy()[0])
            worlds, geoms = warp.data.contact.worldid.numpy()[:count], warp.data.contact.geom.numpy()[:count]
            for world, geom in zip(worlds, geoms, strict=True):
                found[world][_label(model, substep, geom)] += 1
    return found


def percentiles(values: np.ndarray) -> dict[str, float]:
    return {name: float(np.percentile(values, p)) for name, p in (("50", 50), ("90", 90), ("99", 99), ("max", 100))}


def run(count: int, seed: int, device: str) -> dict[str, Any]:
    """Agreement on the plain body and with every environment's model its own."""
    body = converged_body()
    states = contact_states(body, count, seed)
    variation = Variation((0.5, 1.5), (0.8, 1.2), (0.9, 1.1), (0.8, 1.2), (0.8, 1.2), (0.97, 1.03))
    result: dict[str, Any] = {
        "states": count,
        "seed": seed,
        "device": device,
        "solver": {"iterations": ITERATIONS, "ls_iterations": LINE_SEARCH, "tolerance": TOLERANCE},
        "contacts_mean": float(states.contacts.mean()),
        "mujoco": mujoco.__version__,
        "mujoco_warp": mjw.__version__,
        "warp": wp.__version__,
    }
    for name, models in (("same models", None), ("varied models", variation.sample(body, count, seed))):
        found = compare(body, states, device, models)
        result[name] = {
            "qpos": percentiles(found.qpos),
            "qvel": percentiles(found.qvel),
            "outliers": [asdict(outlier) for outlier in found.outliers],
        }
    return result


def show(result: dict[str, Any]) -> None:
    print(
        f"{result['states']} states, {result['contacts_mean']:.1f} contacts each, device {result['device']}, "
        f"MuJoCo {result['mujoco']}, mujoco_warp {result['mujoco_warp']}, solver {result['solver']}"
    )
    print(f"{'':16s} {'':6s} {'median':>9s} {'90 %':>9s} {'99 %':>9s} {'largest':>9s}   bound on 99 %")
    for name in ("same models", "varied models"):
        for field, bound in (("qpos", QPOS_BOUND), ("qvel", QVEL_BOUND)):
            row = result[name][field]
            verdict = "kept" if row["99"] <= bound else "MISSED"
            print(f"{name:16s} {field:6s} " + " ".join(f"{x:9.1e}" for x in row.values()) + f"   {bound:.0e} {verdict}")
        for o in result[name]["outliers"]:
            only = [f"only {side}: {', '.join(o['contacts_only_' + side])}" for side in ("cpu", "warp")]
            told = "; ".join(text for text in only if not text.endswith(": ")) or "same contacts"
            print(f"  state {o['state']:4d}  qpos {o['qpos']:.1e}  qvel {o['qvel']:.1e}  {told}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--states", type=int, default=240)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    result = run(args.states, args.seed, args.device)
    show(result)
    if args.json:
        write_json(args.json, result)


if __name__ == "__main__":
    main()
