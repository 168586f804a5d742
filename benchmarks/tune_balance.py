"""Finds the gains of the balance feedback (`envs/balance.py`) by CMA-ES and writes `assets/balance/gains.json`.

    python benchmarks/tune_balance.py --minutes 20 --out assets/balance/gains.json

Every generation rolls 16 candidate gain sets from the same 16 drawn moments of corpus clips (training split, with a
generator's faults, moving actions only), pushed, for 3 s, on 256 environments, and ranks them by how long they stay
with the clip, how near, and how little loaded feet slide. Prints, every 20 generations, survival on the test split.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import cma
import numpy as np
import torch

from morphloop.base import write_json
from morphloop.envs import MotionLibrary, Observer, Simulation, build_library, prepare
from morphloop.envs.balance import Balance, BalanceGains, Term, default_gains, gains_from_terms
from morphloop.motion import make_corpus
from morphloop.sim import CpuPhysics, default_body

MOVING = ("walk", "walk_backward", "walk_wave", "side_step", "turn", "kick", "jump", "jump_forward", "squat", "bow")
POPULATION, STARTS, STEPS = 16, 16, 90
FAILED_M = 0.3
PUSH_M_S, PUSH_RAD_S = 0.2, 0.4
"""Standard deviations of the root's velocity and spin that are added to a start: who is never pushed never learns to
catch himself."""
Free = tuple[str | None, tuple[str, ...], str, str, float]
"""Phase, joints that share the gain, axis, feature, start."""


def free_terms() -> list[Free]:
    """The entries of the gain tables that are searched, with starts from an inverted pendulum on two 500 N m/rad
    ankles: a metre of error asks for about 1.4 rad of ankle, a swinging foot goes where the body falls."""
    terms: list[Free] = []
    for phase, share in (("single", 1.0), ("double", 0.6)):
        for x in ("com_x", "com_velocity_x"):
            terms += [(phase, ("ankle",), "y", x, 0.5 * share), (phase, ("hip",), "y", x, 0.0)]
            terms += [(phase, ("knee",), "y", x, 0.0)]
        for y in ("com_y", "com_velocity_y"):
            terms += [(phase, ("ankle",), "x", y, -0.3 * share), (phase, ("hip",), "x", y, 0.0)]
        for pitch in ("tilt_y", "spin_y"):
            terms += [(phase, ("hip",), "y", pitch, 0.2 * share), (phase, ("ankle",), "y", pitch, 0.0)]
        terms += [(phase, ("hip",), "x", roll, 0.2 * share) for roll in ("tilt_x", "spin_x")]
        terms += [(phase, ("hip",), "z", yaw, 0.1) for yaw in ("tilt_z", "spin_z")]
        terms += [(phase, ("knee",), "y", z, 0.0) for z in ("com_z", "com_velocity_z")]
    terms += [("swing", ("hip",), "y", x, -0.22) for x in ("com_x", "com_velocity_x")]
    terms += [("swing", ("hip",), "x", y, 0.22) for y in ("com_y", "com_velocity_y")]
    terms += [("swing", ("hip",), "y", "tilt_y", -0.2), ("swing", ("hip",), "x", "tilt_x", -0.2)]
    terms += [("swing", ("hip",), "z", "tilt_z", -0.1), ("swing", ("ankle",), "y", "tilt_y", 0.0)]
    terms += [("swing", ("knee",), "y", "com_x", 0.0), ("swing", ("knee",), "y", "com_z", 0.0)]
    terms += [(None, ("spine1", "spine2"), "x", "tilt_x", 0.1), (None, ("spine1", "spine2"), "y", "tilt_y", 0.1)]
    terms += [(None, ("spine1", "spine2"), "x", "spin_x", 0.0), (None, ("spine1", "spine2"), "y", "spin_y", 0.0)]
    return [*terms, (None, ("spine1", "spine2"), "x", "com_y", 0.0), (None, ("spine1", "spine2"), "y", "com_x", 0.0)]


def terms_of(free: list[Free], values: np.ndarray) -> list[Term]:
    """The named gains that a candidate stands for; a spine gain counts half at the upper joint."""
    named: list[Term] = []
    for (phase, joints, axis, feature, _), value in zip(free, values, strict=True):
        named += [(phase, f"{j}_{axis}", feature, round(float(value) * 0.5**k, 4)) for k, j in enumerate(joints)]
    return named


def stacked(free: list[Free], candidates: list[np.ndarray], repeats: int) -> BalanceGains:
    """Gains of every environment: each candidate `repeats` times."""
    sets = [gains_from_terms(terms_of(free, values), default_body()) for values in candidates]
    leg, spine = torch.cat([s.leg for s in sets]), torch.cat([s.spine for s in sets])
    return BalanceGains(leg.repeat_interleave(repeats, 0), spine.repeat_interleave(repeats, 0))


@torch.no_grad()
def roll(
    physics: CpuPhysics, observer: Observer, clip: torch.Tensor, frame: torch.Tensor, steps: int, push: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Score (N,) per step and steps lived (N,) of bodies with feedback alone from clips (N,) at frames (N,).

    push: (N, 6) added to the root's velocity and spin at the start."""
    bodies = Simulation(physics, observer)
    qpos, qvel = bodies.start_states(clip, frame)
    qvel[:, :6] += push
    bodies.place(torch.arange(len(clip)), clip, frame, qpos, qvel)
    alive, score, lived = (torch.ones(len(clip)), torch.zeros(len(clip)), torch.zeros(len(clip)))
    for _ in range(steps):
        diverged = bodies.advance()
        error = bodies.distance()
        speed = bodies.state.vel[:, observer.feet, :2].norm(dim=-1).amin(-1)
        slide = (speed * (bodies.foot_force > observer.body.contact_force)).sum(-1).clamp(max=1.0)
        alive = alive * ((error < FAILED_M) & ~diverged)
        score += alive * (torch.exp(-10.0 * error) + 0.5 - 0.5 * slide)
        lived += alive
    return score / steps, lived


def survival(library: MotionLibrary, free: list[Free], values: np.ndarray) -> str:
    """Share of clips that gains carry from their first frame to the end, by action."""
    body, count = default_body(), len(library.clips)
    observer = Observer(body, library)
    observer.balance = Balance(body, gains=gains_from_terms(terms_of(free, values), body))
    clip = torch.arange(count)
    steps, push = int(library.length.max()) - 1, torch.zeros(count, 6)
    _, lived = roll(CpuPhysics(body, count), observer, clip, torch.zeros_like(clip), steps, push)
    done = (lived >= library.length - 1).float().numpy()
    actions = np.array([c.provenance.notes["action"] for c in library.clips])
    parts = ", ".join(f"{a} {done[actions == a].mean():.2f}" for a in sorted(set(actions)))
    return f"{done.mean():.3f} ({parts})"


def current(free: list[Free]) -> np.ndarray:
    """The gains that ship, as a candidate to go on from."""
    body = default_body()
    gains = default_gains(body)
    values = []
    for phase, joints, axis, feature, _ in free:
        one = gains_from_terms([(phase, f"{joints[0]}_{axis}", feature, 1.0)], body)
        table, mask = (gains.spine, one.spine) if phase is None else (gains.leg, one.leg)
        values.append(float((table * mask).sum()))
    return np.array(values)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--sigma", type=float, default=0.1)
    parser.add_argument("--go-on", action="store_true", help="start from the gains that ship")
    parser.add_argument("--clips", type=int, default=256)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    body, free = default_body(), free_terms()
    moving = [c for c in make_corpus(args.clips, 11, "train", True) if c.provenance.notes["action"] in MOVING]
    library = build_library([prepare(c, body) for c in moving], body)
    tests = build_library([prepare(c, body) for c in make_corpus(64, 3, "test")], body)
    observer, physics = Observer(body, library), CpuPhysics(body, POPULATION * STARTS)
    start = current(free) if args.go_on else np.array([term[-1] for term in free])
    search = cma.CMAEvolutionStrategy(start, args.sigma, {"popsize": POPULATION, "verbose": -9, "seed": args.seed + 1})
    began, generation = time.monotonic(), 0
    print("start:", survival(tests, free, start), flush=True)
    while time.monotonic() - began < 60.0 * args.minutes:
        candidates = search.ask()
        draw = torch.Generator().manual_seed(args.seed + generation)
        clip = torch.randint(len(moving), (STARTS,), generator=draw)
        last = torch.clamp(library.length[clip] - STEPS - 1, min=1)
        frame = (torch.rand(STARTS, generator=draw) * last).long()
        observer.balance = Balance(body, gains=stacked(free, candidates, STARTS))
        push = torch.randn(STARTS, 6, generator=draw) * torch.tensor([PUSH_M_S] * 2 + [0.0] + [PUSH_RAD_S] * 3)
        score, lived = roll(
            physics, observer, clip.repeat(POPULATION), frame.repeat(POPULATION), STEPS, push.repeat(POPULATION, 1)
        )
        search.tell(candidates, (-score.reshape(POPULATION, STARTS).mean(1)).tolist())
        generation += 1
        if generation % 20 == 0:
            best = search.result.xfavorite
            print(generation, f"lived {lived.mean() / 30:.2f} s, test", survival(tests, free, best), flush=True)
            _save(args, free, best, generation)
    _save(args, free, search.result.xfavorite, generation)


def _save(args: argparse.Namespace, free: list[Free], values: np.ndarray, generations: int) -> None:
    keys = ("phase", "dof", "feature", "gain")
    rows = [dict(zip(keys, term, strict=True)) for term in terms_of(free, values)]
    made = {"by": "benchmarks/tune_balance.py", "data": "corpus, training split, with faults", "seed": args.seed}
    write_json(args.out, {"schema": 1, "made": made | {"generations": generations}, "gains": rows})


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
