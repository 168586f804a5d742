"""Is a projected reference worth anything to another tracker? `python benchmarks/robots/proof_of_use.py --out work`.

After `run.py --out work --unpacked DIR --seconds 4`, whose clips are read there. Two references of the same clip, the
retargeted one (`raw`) and what physics made of it (`projected`), go as they are, without preprocessing, to the same
tracker on a G1 whose physics differs from the one that the projection was made with: friction, mass, latency, pushes.
A run begins in its reference's first frame and has failed where the mean distance of all links from the reference that
it was given is over 0.5 m. No tracker knows what is disturbed:

pd: servos get the reference's next joint angles, nothing is fed forward, and the balance feedback that ships is added.
    What a robot does that is handed a file.
law: the same with what our servos' targets have besides: they lead by what damping holds back, and torques by inverse
    dynamics of the reference are fed forward. Every plan of ours begins so.
plan: iLQR tracks the reference once on the undisturbed model, looking half a second ahead, five times a second, and
    retrying nothing: shorter and poorer than the iLQR that projects. What it asked of the servos is then done again on
    the disturbed robot, with its gains on how far the state is from the plan's. Like the projecting iLQR it knows the
    robot's model, so that it may favour what was made with it.

Errors are taken from the reference that was followed and, for both, from the raw one, which is what was asked for: a
projection could make itself easy by moving less. A clip whose projection was rejected is left out, for then there is no
projected reference; the first twenty of `NAMES` are used. Intervals: 95 %, bootstrap over clips, paired.
"""

from __future__ import annotations

import argparse
import json
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
import torch

from morphloop.envs import Observer, Reference, base_targets, prepare, reference_of, stack
from morphloop.envs.terminations import mean_distance
from morphloop.imitator.optimal_control.config import IlqrConfig
from morphloop.imitator.optimal_control.cost import difference
from morphloop.imitator.optimal_control.ilqr import Ilqr
from morphloop.metrics import track_errors
from morphloop.motion import Clip, load_clip
from morphloop.sim import Body, Variation, driven_body
from morphloop.sim.physics.protocol import DIVERGED

NAMES = (
    "dataset-1_bye_masculinity_001", "dataset-1_byebye_masculinity_001", "dataset-1_call_normal_002",
    "dataset-1_dance-short_normal_001", "dataset-1_dash_masculinity_001", "dataset-1_guide_masculinity_001",
    "dataset-1_punch_normal_002", "dataset-1_run_masculinity_001", "dataset-1_slash_normal_002",
    "dataset-1_walk-left_masculinity_001", "dataset-1_walk-right_masculinity_001",
    "dataset-2_raise-up-both-hands_feminine_037", "dataset-2_raise-up-left-hand_feminine_036",
    "dataset-2_raise-up-right-hand_feminine_037", "dataset-2_run_feminine_031",
    "dataset-2_walk-turn-left_feminine_008", "dataset-2_walk-turn-right_feminine_010",
    "dataset-2_wave-both-hands_feminine_010", "dataset-2_wave-left-hand_feminine_011",
    "dataset-2_wave-right-hand_feminine_012",
    "mdm_ciroanni_a0", "mdm_hlcdyy_00", "mdm_hlcdyy_02", "mdm_hlcdyy_04", "mdm_hlcdyy_06", "mdm_hlcdyy_08",
    "mdm_hlcdyy_10", "mdm_hlcdyy_12", "mdm_hlcdyy_14", "t2mgpt_a_person_is_playing_golf",
)  # fmt: skip
"""All that `run.py` takes of people's motion; none of its `DECIDED`."""
CLIPS = 20
FAILED_M = 0.5
FIRST_PUSH_S, PUSH_EVERY_S = 0.5, 1.0
SHORT = IlqrConfig(horizon=15, replan=6, hard_iterations=2, retries=0, threads=1)
RESAMPLES, SEED = 10_000, 11
Range = tuple[float, float]


@dataclass(frozen=True)
class Condition:
    """What is other than in the model. delay: control steps from a state to what is done about it; push: m/s that the
    root's horizontal velocity is changed by, in a random direction, after `FIRST_PUSH_S` and every `PUSH_EVERY_S`."""

    vary: Variation = field(default_factory=Variation)
    delay: int = 0
    push: float = 0.0


def by(factor: float) -> Range:
    """A range that is one factor."""
    return factor, factor


UNDISTURBED = "undisturbed"
CONDITIONS = {
    UNDISTURBED: Condition(),
    "friction -30 %": Condition(Variation(friction=by(0.7))),
    "friction +30 %": Condition(Variation(friction=by(1.3))),
    "mass -10 %": Condition(Variation(mass=by(0.9))),
    "mass +10 %": Condition(Variation(mass=by(1.1))),
    "latency 20 ms": Condition(delay=1),
    "pushes 0.2 m/s": Condition(push=0.2),
    "pushes 0.5 m/s": Condition(push=0.5),
}


class World:
    """The physics that a tracker acts on: the body under a condition."""

    def __init__(self, body: Body, condition: Condition, reference: Reference, seed: int):
        self.body, self.condition = body, condition
        self.model = condition.vary.sample(body, 1, 0).model(body, 0)
        self.data = mujoco.MjData(self.model)
        self.data.qpos[:], self.data.qvel[:] = reference.qpos[0], reference.qvel[0]
        self.rng = np.random.default_rng(seed)
        self.waiting: deque[np.ndarray] = deque([reference.target[1].astype(float)] * condition.delay)
        self.qpos = [self.data.qpos.copy()]

    def step(self, ctrl: np.ndarray) -> bool:
        """One control step; False if the simulation diverged."""
        first, every = (round(seconds * self.body.control_hz) for seconds in (FIRST_PUSH_S, PUSH_EVERY_S))
        if self.condition.push and (len(self.qpos) - 1) % every == first:
            angle = self.rng.uniform(0.0, 2.0 * np.pi)
            self.data.qvel[:2] += self.condition.push * np.array([np.cos(angle), np.sin(angle)])
        self.waiting.append(ctrl)
        self.data.ctrl[:] = self.waiting.popleft()
        mujoco.mj_step(self.model, self.data, self.body.substeps)
        self.qpos.append(self.data.qpos.copy())
        return bool(np.isfinite(self.data.qpos).all()) and not any(self.data.warning[k].number for k in DIVERGED)


class Pd:
    """Servos with the reference's targets and balance feedback, see the module."""

    def __init__(self, ilqr: Ilqr):
        self.observer = ilqr.observer

    def __call__(self, qpos: np.ndarray, qvel: np.ndarray, frame: int) -> np.ndarray:
        """(nu,) PD targets in a state at a frame of the clip."""
        return base_targets(self.observer, qpos[None], qvel[None], np.array([0]), np.array([frame]))[0]


class Planned:
    """A plan made beforehand and its gains, see the module."""

    def __init__(self, ilqr: Ilqr):
        track = ilqr.track(0)
        self.model, self.bound, self.done = ilqr.body.model, ilqr.config.bound, track.recorder
        self.gains = [label.gain for label in track.labels]

    def __call__(self, qpos: np.ndarray, qvel: np.ndarray, frame: int) -> np.ndarray:
        """(nu,) PD targets in a state at a frame of the clip; the last ones where the plan has failed."""
        done, frame = self.done, min(frame, len(self.gains) - 1)
        gain = self.gains[frame]
        assert gain is not None
        off = difference(self.model, done.qpos[frame], done.qvel[frame], qpos, qvel)
        return done.ctrl[frame] - np.clip(gain @ off, -self.bound, self.bound)


TRACKERS = {"pd": Pd, "law": Pd, "plan": Planned}


def as_given(clip: Clip, body: Body, tracker: str) -> Reference:
    """A reference without preprocessing; for `pd` its PD targets are its joint angles alone."""
    reference = reference_of(prepare(clip, body), body)
    if tracker == "pd":
        angles = body.coordinates.servo_angles(body.qpos_from_clip(reference.clip))
        reference = replace(reference, target=angles.astype(np.float32))
    return reference


def tracked(drive: Pd | Planned, world: World, ilqr: Ilqr, reference: Reference) -> tuple[Clip, bool]:
    """What a tracker does, up to where it failed, and whether it got to the end."""
    completed = True
    for frame in range(reference.num_frames - 1):
        if not world.step(drive(world.data.qpos.copy(), world.data.qvel.copy(), frame)):
            world.qpos.pop()
            completed = False
        elif distance(ilqr.observer, world, frame + 1) > FAILED_M:
            completed = False
        if not completed:
            break
    return world.body.clip_from_qpos(np.array(world.qpos), world.body.control_hz, reference.name), completed


def distance(observer: Observer, world: World, frame: int) -> float:
    """Mean distance of all links from the reference, metres."""
    qpos, qvel = (torch.from_numpy(x.copy()[None]) for x in (world.data.qpos, world.data.qvel))
    wanted = observer.reference(torch.tensor([0]), torch.tensor([frame]))
    return float(mean_distance(observer.kinematics(qpos, qvel), wanted))


def row(done: Clip, completed: bool, reference: Reference, asked: Reference) -> dict[str, Any]:
    """The figures of a run."""
    own = track_errors(done, reference.clip, completed)
    intended = track_errors(done, asked.clip, completed)
    return {
        "success": own["success"],
        "survived": (done.num_frames - 1) / (reference.num_frames - 1),
        "own mm": own["e_g_mpjpe_mm"],
        "own pose mm": own["e_mpjpe_mm"],
        "asked mm": intended["e_g_mpjpe_mm"],
        "asked pose mm": intended["e_mpjpe_mm"],
    }


def pairs(out: Path) -> Iterator[tuple[str, Clip, Clip]]:
    """Name, raw and projected clip of the first twenty that were accepted. SystemExit for one that is not there."""
    found, rejected = 0, []
    for name in NAMES:
        place = next((p for p in (out / "mocap", out / "generated") if record_of(p, name).exists()), None)
        if place is None:
            raise SystemExit(f"{name}: not projected under {out}, run run.py first")
        if json.loads(record_of(place, name).read_text())["verdict"] != "accepted":
            rejected.append(name)
            continue
        found += 1
        raw, projected = (load_clip(place / "projected" / folder / f"{name}.npz") for folder in ("sources", "clips"))
        assert isinstance(raw, Clip)
        assert isinstance(projected, Clip)
        yield name, raw, projected
        if found == CLIPS:
            break
    print(f"{found} clips; before the last one rejected by project: {', '.join(rejected) or 'none'}")


def record_of(place: Path, name: str) -> Path:
    """Where `project` says what became of a clip."""
    return place / "projected" / "records" / f"{name}.json"


def run(out: Path, trackers: list[str]) -> None:
    """Every run that is not in its file of rows yet."""
    body = driven_body("g1")
    for tracker in trackers:
        file = out / f"proof_{tracker}.jsonl"
        had = {tuple(r["key"]) for r in read_rows(file)}
        for number, (name, raw, projected) in enumerate(pairs(out)):
            references = {"raw": as_given(raw, body, tracker), "projected": as_given(projected, body, tracker)}
            for which, reference in references.items():
                if all((name, which, condition) in had for condition in CONDITIONS):
                    continue
                ilqr = Ilqr(body, stack([reference], body), SHORT, keep_gains=True)
                drive = TRACKERS[tracker](ilqr)
                for condition in CONDITIONS:
                    world = World(body, CONDITIONS[condition], reference, number)
                    done, completed = tracked(drive, world, ilqr, reference)
                    figures = row(done, completed, reference, references["raw"])
                    with file.open("a") as rows:
                        rows.write(json.dumps(figures | {"key": (name, which, condition)}) + "\n")


def read_rows(file: Path) -> list[dict[str, Any]]:
    """Rows so far."""
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def compared(raw: np.ndarray, projected: np.ndarray) -> list[str]:
    """Two cells: both means, and their difference with its interval by bootstrap over clips."""
    if not len(raw):
        return ["-", "-"]
    differences, rng = projected - raw, np.random.default_rng(SEED)
    means = differences[rng.integers(len(differences), size=(RESAMPLES, len(differences)))].mean(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    return [f"{raw.mean():.0f} -> {projected.mean():.0f}", f"{differences.mean():+.0f} [{low:+.0f}, {high:+.0f}]"]


def summed(out: Path, tracker: str) -> None:
    """Print the table of a tracker."""
    rows = {tuple(r["key"]): r for r in read_rows(out / f"proof_{tracker}.jsonl")}
    print(f"\n{tracker}: raw -> projected, difference [95 %]; errors over the clips that both carried to the end")
    print("| | clips | success % | | survived % | | both | from its own reference, mm | | from what was asked, mm | |")
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    by_clip: dict[str, list[tuple[dict[str, Any], dict[str, Any]]]] = {}
    for condition in CONDITIONS:
        names = [n for n in NAMES if all((n, which, condition) in rows for which in ("raw", "projected"))]
        both = [(rows[n, "raw", condition], rows[n, "projected", condition]) for n in names]
        ended = [pair for pair in both if all(r["success"] for r in pair)]
        cells = [
            *compared(*shares(both, "success")),
            *compared(*shares(both, "survived")),
            str(len(ended)),
            *compared(*shares(ended, "own mm", 1.0)),
            *compared(*shares(ended, "asked mm", 1.0)),
        ]
        print(f"| {condition} | {len(both)} | " + " | ".join(cells) + " |")
        if condition != UNDISTURBED:
            for name, pair in zip(names, both, strict=True):
                by_clip.setdefault(name, []).append(pair)
    steady = {n for n in by_clip if all(rows[n, which, UNDISTURBED]["success"] for which in ("raw", "projected"))}
    for title, chosen in (
        ("a clip's mean over all that disturbs", set(by_clip)),
        ("of clips held undisturbed", steady),
    ):
        cells = []
        for what in ("success", "survived"):
            means = [np.mean(shares(by_clip[name], what), axis=1) for name in NAMES if name in chosen]
            cells += compared(*np.array(means).reshape(-1, 2).T)
        print(f"| {title} | {len(chosen)} | " + " | ".join(cells) + " | | | | | |")


def shares(pairs: list[tuple[dict[str, Any], dict[str, Any]]], what: str, unit: float = 100.0) -> np.ndarray:
    """(2, N) a figure of raw and of projected."""
    return unit * np.array([[pair[k][what] for pair in pairs] for k in (0, 1)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--trackers", default=",".join(TRACKERS))
    args = parser.parse_args()
    trackers = args.trackers.split(",")
    run(args.out, trackers)
    for tracker in trackers:
        summed(args.out, tracker)


if __name__ == "__main__":
    main()
