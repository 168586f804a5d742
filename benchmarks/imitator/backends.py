"""The same policy on both physics backends: whether what it does on CPU in double precision it does on mujoco_warp.

Whole clips, from the same starts, without exploration. Contact is chaotic and single precision differs from double, so
the paths part; what has to agree is the verdicts (success and errors as in PHC, arXiv 2305.06456).
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import numpy as np
import torch
from clip_sets import SETS, load_set
from speed import NO_CUDA, PACKAGES

from morphloop.envs import EVALUATION_DISTANCE, Reference, follow, make_reference
from morphloop.imitator.projection.rollouts import at_first_frames, policy_law
from morphloop.imitator.training.policy import Policy
from morphloop.metrics import track_errors
from morphloop.motion import Clip
from morphloop.sim import Backend, Body, Physics, default_body, make_physics

SET, LIMIT = "A", 16
BACKENDS: tuple[Backend, ...] = ("cpu", "warp")
VERDICTS = ("success", "success_strict")


@dataclass(frozen=True)
class Track:
    """What a backend made of a batch of clips. qpos: (T, nq) of each, up to where it failed; diverged: how many
    failed because their state was not finite; overflow: steps of an environment that left contacts out; steps: of all
    environments; wall_s: seconds of the loop, policy and observations counted in, compilation not."""

    qpos: list[np.ndarray]
    diverged: int
    overflow: int
    steps: int
    wall_s: float


def track(policy: Policy, references: Sequence[Reference], physics: Physics) -> Track:
    """Track references, one an environment, on any backend; all are stepped until the last one is done."""
    simulation = at_first_frames(references, physics)
    law, path = policy_law(policy.copy().to(physics.device).eval()), []
    with torch.no_grad():  # what is loaded at the first call is not timed
        simulation.base()
        law(simulation)
    began = time.perf_counter()
    found = follow(simulation, law, EVALUATION_DISTANCE, lambda: path.append(physics.qpos.clone()))
    wall_s = time.perf_counter() - began
    qpos = torch.stack(path, dim=1).double().cpu().numpy()
    return Track(
        qpos=[qpos[i, :n] for i, n in enumerate(found.length.tolist())],
        diverged=int(found.diverged.sum()),
        overflow=getattr(physics, "overflow", 0),
        steps=physics.num_envs * found.steps,
        wall_s=wall_s,
    )


def compare_backends(
    policy: Policy, clips: Sequence[Clip], body: Body, device: str, watch: Callable[[int, int], None]
) -> dict[str, Any]:
    """Verdicts and figures of a policy on clips, on CPU and on mujoco_warp's `device`; `differ` names the clips whose
    verdict is not the same. MotionError if a clip cannot be prepared, or without mujoco_warp."""
    references = [make_reference(clip, body) for clip in clips]
    told: dict[str, Any] = {}
    for number, backend in enumerate(BACKENDS):
        watch(number, len(BACKENDS))
        physics, load = make_physics(body, len(clips), backend, device if backend == "warp" else None), os.getloadavg()
        found = track(policy, references, physics)
        told[backend] = {"load": round(load[0], 1)} | _figures(found, references, physics, backend)
    watch(len(BACKENDS), len(BACKENDS))
    return {"backends": told, "differ": differing(*(told[backend]["per_clip"] for backend in BACKENDS))}


def _figures(found: Track, references: Sequence[Reference], physics: Physics, backend: Backend) -> dict[str, Any]:
    """A backend's figures over the clips, and each clip's own."""
    rows: dict[str, dict[str, float | None]] = {}
    for qpos, reference in zip(found.qpos, references, strict=True):
        clip = physics.body.clip_from_qpos(qpos, reference.prepared.fps, reference.name)
        errors = track_errors(clip, reference.prepared, clip.num_frames == reference.num_frames)
        reached = (clip.num_frames - 1) / max(reference.num_frames - 1, 1)
        rows[reference.name] = {name: errors[name] for name in (*VERDICTS, "e_mpjpe_mm")} | {"reached": reached}

    def mean(name: str, over: Sequence[dict[str, float | None]]) -> float | None:
        known = [value for row in over if (value := row[name]) is not None]
        return float(np.mean(known)) if known else None

    everything = list(rows.values())
    return {
        "device": torch.cuda.get_device_name(physics.device) if physics.device.type == "cuda" else "cpu",
        "simulator": " ".join((PACKAGES[backend], version(PACKAGES[backend]))),
        "success": mean("success", everything),
        "success_strict": mean("success_strict", everything),
        "e_mpjpe_mm": mean("e_mpjpe_mm", [row for row in everything if row["success"]]),
        "reached": mean("reached", everything),
        "steps_per_s": found.steps / found.wall_s,
        "diverged": found.diverged,
        "overflow": found.overflow,
        "per_clip": rows,
    }


def differing(ours: dict[str, dict[str, Any]], theirs: dict[str, dict[str, Any]]) -> dict[str, list[str]]:
    """Names of the clips of which two backends do not say the same, by verdict."""
    return {verdict: [name for name in ours if ours[name][verdict] != theirs[name][verdict]] for verdict in VERDICTS}


def measure_backends(
    policy: Policy,
    limit: int | None = None,
    seconds: float = 10.0,
    seed: int = 0,
    watch: Callable[[str, int, int], None] = lambda label, done, total: None,
) -> dict[str, Any]:
    """`compare_backends` on whole clips of set A, `LIMIT` of them at most if `limit` is None, on CUDA where there is
    some. seconds: in which a clip has to move, as in `load_set`; seed: of the draw."""
    clips = load_set(SET, None, seconds, LIMIT if limit is None else limit, seed).clips
    cuda = torch.cuda.is_available()
    device = "cuda:0" if cuda else "cpu"
    found = compare_backends(policy, clips, default_body(), device, lambda done, total: watch("backends", done, total))
    about = {"set": SET, "clips": len(clips), "seconds": sum(clip.duration for clip in clips), "policy": policy.hash}
    return about | {"cuda": cuda, "cores": os.cpu_count(), "torch_threads": torch.get_num_threads()} | found


def page(told: dict[str, Any]) -> str:
    """The backends' part of the page in Markdown."""
    about = f"{told['clips']} whole clips of set {told['set']} ({SETS[told['set']]}), {told['seconds']:.0f} s, "
    about += f"policy `{told['policy']}`, from the same starts, without exploration, a clip an environment"
    if not told["cuda"]:
        about += f"; {NO_CUDA}, so mujoco_warp ran on Warp's CPU device, whose speed says nothing of CUDA's"
    head = "| | success | success_strict | E_mpjpe of successes, mm | share of the clip reached | steps/s | load |"
    lines = ["## The same policy on both backends", "", f"{about}.", "", head, "|---" * 7 + "|"]
    for part in told["backends"].values():
        cells = [f"{part['simulator']}, {part['device']}"]
        cells += [_written(part[name], 100.0, " %") for name in VERDICTS]
        cells += [_written(part["e_mpjpe_mm"]), _written(part["reached"], 100.0, " %")]
        cells += [_written(part["steps_per_s"]), f"{part['load']}"]
        lines.append(f"| {' | '.join(cells)} |")
    for verdict, names in told["differ"].items():
        which = f": {', '.join(names)}" if names else ""
        lines += ["", f"Clips whose {verdict} differs: {len(names)} of {told['clips']}{which}."]
    diverged = ", ".join(f"{name} {p['diverged']} and {p['overflow']}" for name, p in told["backends"].items())
    return "\n".join([*lines, "", f"Diverged, and steps that left contacts out: {diverged}."])


def _written(value: float | None, scale: float = 1.0, unit: str = "") -> str:
    """A number with one decimal, a dash for none."""
    return "-" if value is None else f"{scale * value:.1f}{unit}"
