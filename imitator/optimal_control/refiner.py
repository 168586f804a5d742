"""The training-free refiner: sampling-based tracking of clips.

Annealed sampling over PD targets in a receding horizon, in the line of DIAL-MPC (arXiv 2409.15610) and SPIDER
(arXiv 2511.09484), written from their published figures. A plan is a set of knots of offsets on the servo targets that
follow the clip and keep the balance; candidates are rolled out together, weighed by exponentiated cost, and their mean
becomes the next plan. Departures: the clip's own targets go first, and where they are good enough over the horizon
nothing is searched and no noise shakes the feet; few numbers of a plan are drawn at a time; the best plans are kept as
candidates; a clip that is lost goes back and is searched harder; a policy may drive inside every candidate; candidates
of several clips share one batch of simulations.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch

from morphloop.envs import EVALUATION_DISTANCE, MotionLibrary, Observer
from morphloop.envs.terminations import lost
from morphloop.sim import Body, Recorder

from ..training.policy import Policy
from .candidates import Candidates, Guidance, padded
from .costs import CostWeights, TrackingCost
from .plans import ZERO, PlanSpace

DIVERGED_COST = 1e6


@dataclass(frozen=True)
class RefinerConfig:
    """How hard to search."""

    samples: int = 32
    """Candidates of a clip that are rolled out together."""
    clips: int = 8
    """Clips that are searched together."""
    iterations: int = 2
    """Rounds of sampling a plan."""
    first_iterations: int = 4
    """Rounds for the first plan of a clip, and after going back."""
    horizon: int = 16
    """Control steps looked ahead."""
    replan: int = 2
    """Control steps executed before planning anew."""
    knot: int = 4
    """Control steps between knots of a plan."""
    noise: float = 0.15
    """Standard deviation of the first round's noise where a clip is in need, radians."""
    decay: float = 0.5
    """Factor on the noise from one round to the next."""
    temperature: float = 0.4
    """Of the weights, relative to the spread of the costs."""
    elites: int = 4
    """Best plans that compete again in the next round."""
    calm_cost: float = 0.3
    """Mean cost of a tick under which the clip's own targets are good enough and nothing is searched."""
    calm_replan: int = 6
    """Control steps executed then before looking again."""
    need_cost: float = 2.0
    """Mean cost of a tick at which the noise is at its full size; it shrinks with the root of the cost."""
    least_need: float = 0.3
    """Least share of the noise."""
    retries: int = 2
    """How often a clip that was lost goes back and is searched harder."""
    back: int = 24
    """Control steps it goes back, the first time; twice as many the next."""
    weights: CostWeights = field(default_factory=CostWeights)
    """Prices of the cost."""
    fall_distance: float = EVALUATION_DISTANCE
    """Mean joint error at which a clip is lost, metres."""


@dataclass(frozen=True)
class Label:
    """What a refiner did in a state: qpos (nq,), qvel (nv,), foot force (2,), offsets (nu,) on the servo targets.

    gain: (nu, 2 nv) by how much less it would have asked for in a state that is a tangent step further, if known.
    """

    clip: int
    frame: int
    qpos: np.ndarray
    qvel: np.ndarray
    force: np.ndarray
    offset: np.ndarray
    gain: np.ndarray | None = None


@dataclass(frozen=True)
class Track:
    """A tracked stretch: the recorder of what was executed, a label a tick, whether it reached its end, and how many
    control steps of candidates that took."""

    recorder: Recorder
    labels: list[Label]
    completed: bool
    steps: int = 0


@dataclass(frozen=True)
class Stretch:
    """What to track: frames `frame` to `stop` (its end if None) of a library's clip.

    state: integration state (S,) to start from, the reference's own if None; shake: standard deviation of noise on what
    is executed, radians, while the labels stay clean (DART, Laskey et al. 2017); seed: of all noise.
    """

    clip: int
    frame: int = 0
    stop: int | None = None
    state: np.ndarray | None = None
    shake: float = 0.0
    seed: int = 0


@dataclass
class _Search:
    """Where the search of one stretch stands.

    now: frame; plan: (K, D), its first knot `phase` steps back; elite: (E, K, D); last: (D,) offset executed last;
    states: integration state before each executed tick, for going back; calm: nothing is searched; rounds: of sampling
    still to do before the next step; round: done since the last step; need: share of the noise; attempt: how often it
    went back; lost: for good; steps: control steps of candidates spent; best: the longest attempt that was lost.
    """

    place: int
    stretch: Stretch
    end: int
    recorder: Recorder
    rng: np.random.Generator
    now: int
    plan: np.ndarray
    elite: np.ndarray
    last: np.ndarray
    states: list[np.ndarray] = field(default_factory=list)
    labels: list[Label] = field(default_factory=list)
    phase: int = 0
    calm: bool = True
    rounds: int = 1
    round: int = 0
    need: float = 1.0
    attempt: int = 0
    lost: bool = False
    steps: int = 0
    best: Track | None = None

    @property
    def done(self) -> bool:
        return self.lost or self.now >= self.end

    @property
    def guided(self) -> bool:
        """Whether a policy drives: where it led astray, the next attempt goes without it."""
        return self.attempt % 2 == 0


class Refiner:
    """Tracks clips of a library, several at once, each with `config.samples` parallel simulations.

    body: the body; library: prepared clips; config: effort; seed: of the noise; policy: drives inside every candidate,
    so that the search looks for what to add to it; threads: 0 for all cores.
    """

    def __init__(
        self,
        body: Body,
        library: MotionLibrary,
        config: RefinerConfig,
        seed: int = 0,
        policy: Policy | None = None,
        threads: int = 0,
    ):
        self.body, self.library, self.config, self.policy = body, library, config, policy
        self.observer = Observer(body, library)
        self.guidance = Guidance(self.observer, policy)
        self.space = PlanSpace(body, config.horizon, config.knot)
        self.cost = TrackingCost(body, library, config.weights, config.horizon)
        self.threads, self.candidates = threads, Candidates(body, self.guidance, 2 * config.samples, threads)
        self.rng = np.random.default_rng(seed)
        self.steps_simulated = 0

    def track(
        self, clip: int, frame: int = 0, state: np.ndarray | None = None, stop: int | None = None, shake: float = 0.0
    ) -> Track:
        """Roll one clip out from `frame` to frame `stop`, or to where it is lost; see `Stretch`."""
        seed = int(self.rng.integers(2**63))
        return self.track_many([Stretch(clip, frame, stop, state, shake, seed)])[0]

    def track_many(
        self, stretches: Sequence[Stretch], on_done: Callable[[int, Track], None] = lambda place, track: None
    ) -> list[Track]:
        """Roll stretches out, `config.clips` of them at a time; what comes out of one does not depend on the others.

        on_done: told of each track, by its place, as soon as it is there.
        """
        tracks: dict[int, Track] = {}
        waiting = list(enumerate(stretches))[::-1]
        active: list[_Search] = []
        wanted = padded(
            2 * self.config.samples * min(self.config.clips, len(waiting))
        )  # twice: harder after going back
        if wanted > self.candidates.physics.num_envs:
            self.candidates = Candidates(self.body, self.guidance, wanted, self.threads)
        while waiting or active:
            while waiting and len(active) < self.config.clips:
                active.append(self._begin(*waiting.pop()))
            self._plan([s for s in active if not s.done])
            self._execute([s for s in active if not s.done])
            for search in [s for s in active if s.done]:
                active.remove(search)
                tracks[search.place] = self._result(search)
                on_done(search.place, tracks[search.place])
        return [tracks[place] for place in range(len(stretches))]

    def _begin(self, place: int, stretch: Stretch) -> _Search:
        library = self.library
        row = int(library.start[stretch.clip]) + stretch.frame
        qpos, qvel = library.qpos[row].double().numpy(), library.qvel[row].double().numpy()
        end = int(library.length[stretch.clip]) - 1
        none = self.space.none()
        return _Search(
            place=place,
            stretch=stretch,
            end=end if stretch.stop is None else min(stretch.stop, end),
            recorder=Recorder(self.body, qpos, qvel, stretch.state),
            rng=np.random.default_rng(stretch.seed),
            now=stretch.frame,
            plan=none,
            elite=np.zeros((0, *none.shape)),
            last=np.zeros(none.shape[1]),
        )

    def _result(self, search: _Search) -> Track:
        if not search.lost:
            return Track(search.recorder, search.labels, completed=True, steps=search.steps)
        assert search.best is not None  # what is lost has been tried
        return replace(search.best, steps=search.steps)

    def _plan(self, searches: list[_Search]) -> None:
        """Find what each does next: its own targets where they are good enough, else the best plan of its rounds."""
        busy = searches
        while busy:
            plans = [self._draw(search) for search in busy]
            costs = self._evaluate(busy, plans)
            for search, drawn, cost in zip(busy, plans, costs, strict=True):
                self._improve(search, drawn, cost)
            busy = [search for search in busy if search.rounds]

    def _draw(self, search: _Search) -> np.ndarray:
        """(N, K, D) plans to try: none but the clip's own targets while they were good enough so far."""
        config = self.config
        if search.calm:
            return self.space.none()[None]
        sigma = config.noise * search.need * config.decay**search.round
        count = config.samples * (2 if search.attempt else 1)
        return self.space.candidates(search.plan, search.elite, count, sigma, search.rng)

    def _evaluate(self, searches: list[_Search], plans: list[np.ndarray]) -> list[np.ndarray]:
        """Mean cost of a tick of each search's plans (N, K, D), each (N,)."""
        config, counts = self.config, [len(p) for p in plans]

        def each(make: Callable[[_Search], object]) -> np.ndarray:
            return np.repeat(np.array([make(s) for s in searches]), counts, axis=0)

        offsets = np.concatenate([self.space.offsets(p, s.phase) for s, p in zip(searches, plans, strict=True)])
        clip, frame = each(lambda s: s.stretch.clip), each(lambda s: s.now)
        state, failed = self.candidates.rollout(
            start=each(lambda s: s.recorder.state()),
            force=each(lambda s: s.recorder.force[-1]),
            clip=clip,
            frame=frame,
            guided=each(lambda s: s.guided),
            offsets=self.space.spread(offsets),
        )
        for search, count in zip(searches, counts, strict=True):
            search.steps += count * config.horizon
        self.steps_simulated += len(offsets) * config.horizon
        ticks = self.cost(state, torch.from_numpy(clip), torch.from_numpy(frame)).sum(dim=1).numpy().astype(float)
        total = ticks + self.space.price(offsets, each(lambda s: s.last), config.weights.effort, config.weights.rate)
        total = np.where(failed | ~np.isfinite(total), DIVERGED_COST, total) / self.cost.weight_sum
        return np.split(total, np.cumsum(counts)[:-1])

    def _improve(self, search: _Search, plans: np.ndarray, cost: np.ndarray) -> None:
        """Take what the evaluated plans (N, K, D) with their costs (N,) tell."""
        config = self.config
        zero = float(cost[min(ZERO, len(cost) - 1)])
        if search.calm:
            search.calm = zero <= config.calm_cost
            search.rounds = 0 if search.calm else config.first_iterations
            search.need = self._need(zero)
            return
        order = np.argsort(cost, kind="stable")
        best = float(cost[order[0]])
        spread = np.mean(cost[order[: len(cost) // 2]]) - best + 1e-9
        weight = np.exp(-(cost - best) / (config.temperature * spread))
        search.plan = np.einsum("n,nkd->kd", weight / weight.sum(), plans)
        search.elite = plans[order[: config.elites]]
        search.need = self._need(best)
        search.round += 1
        search.rounds -= 1
        if zero <= config.calm_cost:
            search.calm, search.rounds = True, 0
            search.plan, search.elite = self.space.none(), search.elite[:0]

    def _need(self, cost: float) -> float:
        """Share of the noise at a mean cost of a tick."""
        return float(np.clip(np.sqrt(cost / self.config.need_cost), self.config.least_need, 1.0))

    def _execute(self, searches: list[_Search]) -> None:
        """Carry out the first steps of each plan."""
        config = self.config
        ticks = {id(s): config.calm_replan if s.calm else config.replan for s in searches}
        offsets = {id(s): self.space.offsets(s.plan, s.phase) for s in searches}
        attempt = {id(s): s.attempt for s in searches}
        for tick in range(max(ticks.values(), default=0)):
            going = [s for s in searches if tick < ticks[id(s)] and not s.done and s.attempt == attempt[id(s)]]
            if not going:
                break
            self._step(going, [offsets[id(s)][tick] for s in going])
        for search in searches:
            if search.attempt == attempt[id(search)]:
                knots, search.phase = divmod(search.phase + ticks[id(search)], config.knot)
                search.plan = self.space.moved_on(search.plan, knots)
                search.elite = self.space.moved_on(search.elite, knots)
                search.round, search.rounds = 0, 1 if search.calm else config.iterations

    def _step(self, searches: list[_Search], offsets: list[np.ndarray]) -> None:
        """One control step of each under its searched offset (D,); what is lost goes back."""
        qpos, qvel, force = (
            np.array([part(s.recorder)[-1] for s in searches])
            for part in (lambda r: r.qpos, lambda r: r.qvel, lambda r: r.force)
        )
        clip = np.array([s.stretch.clip for s in searches])
        frame = np.array([s.now for s in searches])
        bases, added = self.guidance.alone(qpos, qvel, force, clip, frame)
        alive = []
        for k, search in enumerate(searches):
            offset = self.space.spread(offsets[k]) + (added[k] if search.guided else 0.0)
            search.labels.append(Label(int(clip[k]), search.now, qpos[k], qvel[k], force[k], offset))
            search.states.append(search.recorder.state())
            search.last = offsets[k]
            shake = search.stretch.shake
            noise = shake * self.space.joint_scale * search.rng.normal(size=self.space.size) if shake else 0.0
            alive.append(search.recorder.step(bases[k] + offset + noise))
            search.now += 1
        lost = self._lost(searches)
        for search, ok, gone in zip(searches, alive, lost, strict=True):
            if gone or not ok:
                self._go_back(search)

    def _lost(self, searches: list[_Search]) -> list[bool]:
        """Whether each is further from its reference than it may be."""
        qpos = torch.from_numpy(np.array([s.recorder.qpos[-1] for s in searches]))
        qvel = torch.from_numpy(np.array([s.recorder.qvel[-1] for s in searches]))
        clip, frame = (torch.tensor([f(s) for s in searches]) for f in (lambda s: s.stretch.clip, lambda s: s.now))
        return lost(
            self.observer.kinematics(qpos, qvel), self.observer.reference(clip, frame), self.config.fall_distance
        ).tolist()

    def _go_back(self, search: _Search) -> None:
        """Start over some steps before a search was lost, with more effort; the longest attempt is kept."""
        config, track = self.config, Track(search.recorder, search.labels, completed=False)
        if search.best is None or len(track.recorder.ctrl) > len(search.best.recorder.ctrl):
            search.best = track
        if search.attempt == config.retries:
            search.lost = True
            return
        search.attempt += 1
        at = max(0, len(search.states) - config.back * 2 ** (search.attempt - 1))
        search.recorder = fork(search.recorder, at, search.states[at])
        search.labels, search.states = search.labels[:at], search.states[:at]
        search.now = search.stretch.frame + at
        search.plan, search.elite, search.last = self.space.none(), search.elite[:0], 0.0 * search.last
        search.calm, search.round, search.rounds, search.need = False, 0, 2 * config.first_iterations, 1.0


def fork(recorder: Recorder, at: int, state: np.ndarray) -> Recorder:
    """A recorder that stands where another stood before its tick `at`, in integration state (S,)."""
    twin = Recorder(recorder.body, recorder.qpos[at], recorder.qvel[at], state)
    twin.start = recorder.start
    twin.qpos, twin.qvel = recorder.qpos[: at + 1], recorder.qvel[: at + 1]
    twin.ctrl, twin.force = recorder.ctrl[:at], recorder.force[: at + 1]
    return twin
