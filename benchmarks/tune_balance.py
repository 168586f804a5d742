"""Finds the gains of the balance feedback (`envs/balance.py`) by CMA-ES and writes them as they ship.

    python benchmarks/tune_balance.py --minutes 20 --out assets/balance/gains.json
    python benchmarks/tune_balance.py --body g1 --minutes 25 --out assets/balance/g1.json

Every generation rolls 16 candidate gain sets from the same 16 drawn moments of corpus clips (training split, with a
generator's faults), pushed, for 3 s, on 256 environments, and ranks them by how long they stay with the clip, how near,
and how little loaded feet slide. The built-in body learns on moving actions alone. A robot learns on all of them,
retargeted to it and preprocessed as they are for tracking: it does not even stand by servos as soft as a robot's.
Prints, every 20 generations, survival on the test split.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import cma
import numpy as np
import torch

from morphloop.base import write_json
from morphloop.envs import MotionLibrary, Observer, Simulation, build_library, make_reference, prepare
from morphloop.envs.balance import NO_SERVOS, Balance, BalanceGains, Term, default_gains, gains_from_terms
from morphloop.motion import make_corpus
from morphloop.motion.rotations import quat_rotate
from morphloop.sim import Body, CpuPhysics, RobotBody, driven_body, for_tracking

MOVING = ("walk", "walk_backward", "walk_wave", "side_step", "turn", "kick", "jump", "jump_forward", "squat", "bow")
POPULATION, STARTS, SECONDS = 16, 16, 3.0
FAILED_M = 0.3
PUSH_M_S, PUSH_RAD_S = 0.2, 0.4
"""Standard deviations of the root's velocity and spin that are added to a start: who is never pushed never learns to
catch himself."""
UPPER_SHARE = 0.5
"""Of a gain, in each further servo of the same part and axis."""
Free = tuple[str | None, str, str, str, float]
"""Phase, part, axis, feature, start."""
Servos = dict[tuple[str, str], list[tuple[str, float]]]
"""By part (hip, knee, ankle, spine) and axis (x roll, y pitch, z yaw): what the gains call the servos, from the root
on, and the sign of their axes."""


def servos_of(body: Body) -> Servos:
    """Which of a body's balance servos turn which part about which axis, as it was built."""
    servos, found = body.description.balance or NO_SERVOS, Servos()
    if not isinstance(body, RobotBody):
        for name in (*servos.names, *servos.spine):
            joint, axis = name.rsplit("_", 1)
            found.setdefault((joint.rstrip("12"), axis), []).append((name, 1.0))
        return found
    hinges = {hinge.name: hinge for hinge in body.hinges}
    turns = body.clip_from_qpos(body.model.qpos0[None], body.control_hz).global_rotations[0]
    knee = int(body.legs[0, 1])
    called = [*zip(servos.names, servos.legs[0], strict=True), *((name, name) for name in servos.spine)]
    for called_so, servo in called:
        hinge = hinges[servo]
        above = hinge.joint < knee
        part = "spine" if servo in servos.spine else "knee" if hinge.joint == knee else "hip" if above else "ankle"
        direction = quat_rotate(turns[hinge.joint], np.array(hinge.axis))
        k = int(np.abs(direction).argmax())
        found.setdefault((part, "xyz"[k]), []).append((called_so, float(np.sign(direction[k]))))
    return found


def free_terms(servos: Servos) -> list[Free]:
    """The entries of the gain tables that are searched, of parts that the body has, with starts from an inverted
    pendulum on two 500 N m/rad ankles: a metre of error asks for about 1.4 rad of ankle, a swinging foot goes where the
    body falls."""
    terms: list[Free] = []
    for phase, share in (("single", 1.0), ("double", 0.6)):
        for x in ("com_x", "com_velocity_x"):
            terms += [(phase, "ankle", "y", x, 0.5 * share), (phase, "hip", "y", x, 0.0), (phase, "knee", "y", x, 0.0)]
        for y in ("com_y", "com_velocity_y"):
            terms += [(phase, "ankle", "x", y, -0.3 * share), (phase, "hip", "x", y, 0.0)]
        for pitch in ("tilt_y", "spin_y"):
            terms += [(phase, "hip", "y", pitch, 0.2 * share), (phase, "ankle", "y", pitch, 0.0)]
        terms += [(phase, "hip", "x", roll, 0.2 * share) for roll in ("tilt_x", "spin_x")]
        terms += [(phase, "hip", "z", yaw, 0.1) for yaw in ("tilt_z", "spin_z")]
        terms += [(phase, "knee", "y", z, 0.0) for z in ("com_z", "com_velocity_z")]
    terms += [("swing", "hip", "y", x, -0.22) for x in ("com_x", "com_velocity_x")]
    terms += [("swing", "hip", "x", y, 0.22) for y in ("com_y", "com_velocity_y")]
    terms += [("swing", "hip", "y", "tilt_y", -0.2), ("swing", "hip", "x", "tilt_x", -0.2)]
    terms += [("swing", "hip", "z", "tilt_z", -0.1), ("swing", "ankle", "y", "tilt_y", 0.0)]
    terms += [("swing", "knee", "y", "com_x", 0.0), ("swing", "knee", "y", "com_z", 0.0)]
    terms += [(None, "spine", "x", "tilt_x", 0.1), (None, "spine", "y", "tilt_y", 0.1)]
    terms += [(None, "spine", "x", "spin_x", 0.0), (None, "spine", "y", "spin_y", 0.0)]
    terms += [(None, "spine", "x", "com_y", 0.0), (None, "spine", "y", "com_x", 0.0)]
    return [term for term in terms if (term[1], term[2]) in servos]


def terms_of(free: list[Free], values: np.ndarray, servos: Servos) -> list[Term]:
    """The named gains that a candidate stands for; of servos that share one each further one has half."""
    named: list[Term] = []
    for (phase, part, axis, feature, _), value in zip(free, values, strict=True):
        for k, (name, sign) in enumerate(servos[part, axis]):
            named.append((phase, name, feature, round(float(value) * sign * UPPER_SHARE**k, 4)))
    return named


def stacked(candidates: list[list[Term]], repeats: int, body: Body) -> BalanceGains:
    """Gains of every environment: each candidate `repeats` times."""
    sets = [gains_from_terms(terms, body) for terms in candidates]
    leg, spine = torch.cat([s.leg for s in sets]), torch.cat([s.spine for s in sets])
    return BalanceGains(leg.repeat_interleave(repeats, 0), spine.repeat_interleave(repeats, 0))


def references(count: int, seed: int, split: str, faults: bool, actions: tuple[str, ...], body: Body) -> MotionLibrary:
    """Corpus clips of these actions, all if there are none, to be tracked."""
    clips = [
        c for c in make_corpus(count, seed, split, faults) if not actions or c.provenance.notes["action"] in actions
    ]
    if isinstance(body, RobotBody):
        return build_library([make_reference(for_tracking(clip, body), body) for clip in clips], body)
    return build_library([prepare(clip, body) for clip in clips], body)


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


def survival(library: MotionLibrary, terms: list[Term], body: Body, threads: int) -> str:
    """Share of clips that gains carry from their first frame to the end, by action."""
    count, observer = len(library.clips), Observer(body, library)
    observer.balance = Balance(body, gains=gains_from_terms(terms, body))
    clip = torch.arange(count)
    steps, push = int(library.length.max()) - 1, torch.zeros(count, 6)
    _, lived = roll(CpuPhysics(body, count, threads), observer, clip, torch.zeros_like(clip), steps, push)
    done = (lived >= library.length - 1).float().numpy()
    actions = np.array([c.provenance.notes["action"] for c in library.clips])
    parts = ", ".join(f"{a} {done[actions == a].mean():.2f}" for a in sorted(set(actions)))
    return f"{done.mean():.3f} ({parts})"


def current(free: list[Free], servos: Servos, body: Body) -> np.ndarray:
    """The gains that ship, as a candidate to go on from."""
    gains = default_gains(body)
    values = []
    for phase, part, axis, feature, _ in free:
        name, sign = servos[part, axis][0]
        one = gains_from_terms([(phase, name, feature, sign)], body)
        table, mask = (gains.spine, one.spine) if phase is None else (gains.leg, one.leg)
        values.append(float((table * mask).sum()))
    return np.array(values)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--body", help="as of `project`; the built-in one if not given")
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--sigma", type=float, default=0.1)
    parser.add_argument("--go-on", action="store_true", help="start from the gains that ship")
    parser.add_argument(
        "--clips", type=int, default=256, help="of the corpus, of which those with its actions are kept"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=0, help="of physics, 0 for all cores")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    body = driven_body(args.body)
    servos = servos_of(body)
    free, steps = free_terms(servos), round(SECONDS * body.control_hz)
    library = references(args.clips, 11, "train", True, () if isinstance(body, RobotBody) else MOVING, body)
    tests = references(64, 3, "test", False, (), body)
    observer, physics = Observer(body, library), CpuPhysics(body, POPULATION * STARTS, args.threads)
    start = current(free, servos, body) if args.go_on else np.array([term[-1] for term in free])
    search = cma.CMAEvolutionStrategy(start, args.sigma, {"popsize": POPULATION, "verbose": -9, "seed": args.seed + 1})
    began, generation = time.monotonic(), 0
    print("nothing:", survival(tests, [], body, args.threads), flush=True)
    print("start:", survival(tests, terms_of(free, start, servos), body, args.threads), flush=True)
    while time.monotonic() - began < 60.0 * args.minutes:
        candidates = search.ask()
        draw = torch.Generator().manual_seed(args.seed + generation)
        clip = torch.randint(len(library.clips), (STARTS,), generator=draw)
        last = torch.clamp(library.length[clip] - steps - 1, min=1)
        frame = (torch.rand(STARTS, generator=draw) * last).long()
        named = [terms_of(free, values, servos) for values in candidates]
        observer.balance = Balance(body, gains=stacked(named, STARTS, body))
        push = torch.randn(STARTS, 6, generator=draw) * torch.tensor([PUSH_M_S] * 2 + [0.0] + [PUSH_RAD_S] * 3)
        score, lived = roll(
            physics, observer, clip.repeat(POPULATION), frame.repeat(POPULATION), steps, push.repeat(POPULATION, 1)
        )
        search.tell(candidates, (-score.reshape(POPULATION, STARTS).mean(1)).tolist())
        generation += 1
        if generation % 20 == 0:
            best = terms_of(free, search.result.xfavorite, servos)
            told = survival(tests, best, body, args.threads)
            print(generation, f"lived {lived.mean() / body.control_hz:.2f} s, test", told, flush=True)
            _save(args, best, generation)
    _save(args, terms_of(free, search.result.xfavorite, servos), generation)


def _save(args: argparse.Namespace, terms: list[Term], generations: int) -> None:
    keys = ("phase", "dof", "feature", "gain")
    rows = [dict(zip(keys, term, strict=True)) for term in terms]
    made = {"by": "benchmarks/tune_balance.py", "data": "corpus, training split, with faults", "seed": args.seed}
    if args.body is not None:
        made["body"] = args.body
    write_json(args.out, {"schema": 1, "made": made | {"generations": generations}, "gains": rows})


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
