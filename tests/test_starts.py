"""Where episodes start: what the sampler makes of passes and failures, by itself and under the tracking task."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from morphloop.base import write_json
from morphloop.envs import TaskConfig, TrackingEnv, build_library
from morphloop.envs.config import FLOOR
from morphloop.envs.sampling import CAP, MEMORY, StartSampler, shares
from morphloop.imitator.training.checkpoint import env_tensors, restore_env
from morphloop.imitator.training.log import WEIGHTS_FILE, hardest_segments
from morphloop.motion import DEFAULT_SKELETON, Clip
from morphloop.sim import Body, CpuPhysics, default_body

RATES = (*[0.02] * 7, 0.6, 0.02, 0.0)
"""True failure rates of the seconds of a clip: what an episode that enters one fails with."""
HARD = RATES.index(max(RATES))
SEGMENT_STEPS, LEAD_STEPS = 30, 15
"""A second and half of one, control steps of the default body."""


@pytest.fixture(scope="module")
def body() -> Body:
    torch.set_num_threads(1)
    return default_body()


def still(frames: int, name: str = "still") -> Clip:
    rotations = np.zeros((frames, DEFAULT_SKELETON.num_joints, 4))
    rotations[..., 0] = 1.0
    return Clip(30.0, DEFAULT_SKELETON, np.tile([0.0, 0.0, 0.945], (frames, 1)), rotations, name=name)


def sampler(body: Body, *frames: int) -> StartSampler:
    library = build_library([still(n, f"still_{n}") for n in frames], body)
    return StartSampler(library, torch.Generator().manual_seed(0))


class Fated(CpuPhysics):
    """Bodies that follow the clip exactly until they fail, at the true rates."""

    env: TrackingEnv

    def __init__(self, body: Body, num_envs: int):
        super().__init__(body, num_envs)
        self.chance = torch.Generator().manual_seed(1)

    def step(self) -> torch.Tensor:
        env = self.env
        self.qpos[:] = env.library.qpos[env.library.rows(env.clip, env.frame + 1)].double()
        a_step = 1.0 - (1.0 - torch.tensor(RATES)) ** (1.0 / SEGMENT_STEPS)
        second = (env.frame // SEGMENT_STEPS).clamp(max=len(RATES) - 1)
        self.qpos[torch.rand(self.num_envs, generator=self.chance) < a_step[second], 0] += 3.0
        return torch.zeros(self.num_envs, dtype=torch.bool)


def test_starts_are_aimed_at_what_fails_under_the_task_itself(body: Body) -> None:
    """Episodes of the real environment over the true rates, that end failed, at the clip's end or at their longest."""
    physics = Fated(body, 128)
    clip = still(SEGMENT_STEPS * len(RATES) + 1)
    env = physics.env = TrackingEnv([clip], body, 128, TaskConfig(max_steps=90), seed=2, physics=physics)
    env.reset()
    for _ in range(240):
        env.step(torch.zeros(128, env.action_size))
    found, weights = env.sampler.failure.numpy(), env.sampler.weights.numpy()
    easy = np.array(RATES) < 0.1
    assert (found[easy] < 0.1).all(), found.round(2)
    assert 0.4 < found[HARD] < 0.75, found.round(2)
    assert (weights[HARD] > 3.0 * weights[easy]).all(), weights.round(3)


def played(starts: StartSampler, steps: int, count: int = 256, longest: int = 100) -> torch.Tensor:
    """(steps * count,) frames of the starts that a rollout process over `RATES` draws, told to the sampler as the
    task tells it."""
    chance = torch.Generator().manual_seed(3)
    a_step = 1.0 - (1.0 - torch.tensor(RATES)) ** (1.0 / SEGMENT_STEPS)
    clip, frame = starts.draw(count)
    begun, drawn = frame.clone(), []
    for _ in range(steps):
        failed = torch.rand(count, generator=chance) < a_step[(frame // SEGMENT_STEPS).clamp(max=len(RATES) - 1)]
        frame = frame + 1
        over = ~failed & ((frame >= starts.library.length[clip] - 1) | (frame - begun >= longest))
        starts.record(clip, frame - 1, frame, frame - begun, failed, over)
        _, anew = starts.draw(count)
        done = failed | over
        drawn.append(anew[done])
        frame, begun = torch.where(done, anew, frame), torch.where(done, anew, begun)
    return torch.cat(drawn)


def test_what_is_passed_is_known_to_be_passed(body: Body) -> None:
    """Estimates settle at the true rates, and starts go where bodies fail and to the half second before."""
    starts = sampler(body, SEGMENT_STEPS * len(RATES) + 1)
    played(starts, 1500)
    frames = played(starts, 500)
    np.testing.assert_allclose(starts.failure, RATES, atol=0.12)
    assert (starts.failure.numpy()[np.array(RATES) < 0.1] < 0.1).all()
    share = torch.bincount(frames // SEGMENT_STEPS, minlength=len(RATES)) / len(frames)
    far = [s for s, rate in enumerate(RATES) if rate < 0.1 and s != HARD - 1]
    assert (share[HARD] > 3.0 * share[far]).all(), share
    begin = HARD * SEGMENT_STEPS
    before = ((frames >= begin - LEAD_STEPS) & (frames < begin)).float().mean()
    after = ((frames >= begin + SEGMENT_STEPS - LEAD_STEPS) & (frames < begin + SEGMENT_STEPS)).float().mean()
    assert before > 3.0 * after, "who starts where bodies fail has missed what they fail by"


def test_a_segment_is_told_when_its_end_is_reached(body: Body) -> None:
    starts = sampler(body, 3 * SEGMENT_STEPS + 11)
    length = 3 * SEGMENT_STEPS + 10
    told: list[list[int]] = []
    for frame in range(1, length + 1):
        before = starts.failure.clone()
        no = torch.zeros(1, dtype=torch.bool)
        at = torch.tensor([frame])
        starts.record(torch.tensor([0]), at - 1, at, at, no, no | (frame == length))
        told += [[frame, *(starts.failure != before).nonzero().flatten().tolist()]]
    assert [row for row in told if len(row) > 1] == [[30, 0], [60, 1], [length, 2]]
    assert starts.seen.tolist() == [1.0, 1.0, 1.0]


@pytest.mark.parametrize(
    ("begun", "frame", "failed", "cut", "share"),
    [
        (0, 30, False, False, 1.0),
        (24, 30, False, False, 0.2),
        (24, 26, True, False, 1.0),
        (0, 15, False, True, 0.5),
        (33, 45, False, True, 0.4),
        (0, 45, False, True, 0.5),
        (0, 45, False, False, 0.0),
    ],
    ids=["whole", "its end", "failed", "cut half way", "cut, seen in part", "cut later on", "still in it"],
)
def test_a_pass_counts_for_what_was_seen(
    body: Body, begun: int, frame: int, failed: bool, cut: bool, share: float
) -> None:
    starts = sampler(body, 10 * SEGMENT_STEPS)
    one = torch.ones(1, dtype=torch.long)
    starts.record(0 * one, (frame - 1) * one, frame * one, (frame - begun) * one, one * failed == 1, one * cut == 1)
    assert float(starts.seen.sum()) == pytest.approx(share)
    segment = (frame - 1) // SEGMENT_STEPS
    assert float(starts.failure[segment] - 0.5) * (1 if failed else -1) >= (share > 0.0) * 0.03
    assert torch.equal(starts.failure != 0.5, torch.arange(len(starts.failure)) == (segment if share else -1))


def test_rates_are_plain_shares_at_first_and_forget_later(body: Body) -> None:
    starts = sampler(body, 2 * SEGMENT_STEPS + 1)
    one = torch.ones(1, dtype=torch.long)

    def tell(failed: bool, times: int) -> float:
        at = SEGMENT_STEPS * torch.ones(times, dtype=torch.long)
        starts.record(0 * at, at - 1, at, at, torch.full((times,), failed), torch.zeros(times, dtype=torch.bool))
        return float(starts.failure[0])

    assert tell(False, 1) == pytest.approx(1.0 / 3.0)
    assert tell(True, 1) == pytest.approx(2.0 / 4.0)
    assert tell(False, 6) == pytest.approx(2.0 / 10.0)
    tell(False, 500)
    assert tell(True, 50) == pytest.approx(1.0 - 0.98**50, abs=1e-3)
    assert float(starts.failure[1]) == 0.5, "nobody played it"
    starts.restart()
    assert (starts.failure == 0.5).all()
    assert (starts.seen == 0.0 * one).all()


def test_starts_lie_within_clips_and_cover_all_segments(body: Body) -> None:
    lengths = (2, 10, 31, 100, 150)
    starts = sampler(body, *lengths)
    clip, frame = starts.draw(20_000)
    assert (frame >= 0).all()
    assert (frame <= starts.library.length[clip] - 2).all()
    assert starts.end[-1] == lengths[-1] - 1
    starts.floor = 1.0
    clip, frame = starts.draw(20_000)
    seen = {(int(c), int(f)) for c, f in zip(clip, frame, strict=True)}
    assert seen == {(c, f) for c, n in enumerate(lengths) for f in range(n - 1)}, "even starts begin anywhere"


def test_starts_follow_failure_over_a_floor(body: Body) -> None:
    starts = sampler(body, 100, 100, 100)
    starts.failure[:] = 0.0
    starts.failure[4] = 1.0
    clip, frame = starts.draw(20_000)
    hit = (
        ((clip == 1) & (frame >= SEGMENT_STEPS - LEAD_STEPS) & (frame < 2 * SEGMENT_STEPS - LEAD_STEPS)).float().mean()
    )
    count = len(starts.failure)
    assert float(starts.weights[4]) == pytest.approx(1.0 - FLOOR + FLOOR / count)
    assert float(hit) == pytest.approx(1.0 - FLOOR + FLOOR / count, abs=0.01)
    assert (clip != 1).any(), "the floor still starts elsewhere"
    starts.failure[:] = 0.0
    assert torch.allclose(starts.weights, torch.full((count,), 1.0 / count)), "nothing fails"


def test_no_segment_takes_more_than_its_cap() -> None:
    failure = torch.full((5000,), 1e-6)
    failure[7] = 1.0
    share = shares(failure)
    assert float(share[7]) == pytest.approx(CAP / 5000, rel=0.05)
    assert float(share.sum()) == pytest.approx(1.0)
    even = torch.full((40,), 0.3)
    assert torch.allclose(shares(even), torch.full((40,), 1.0 / 40))


def test_a_checkpoint_keeps_what_starts_rest_on(body: Body) -> None:
    """Rates, how many outcomes they rest on, and the stream of draws go on as if nothing had been in between."""
    clips = [still(70, "a"), still(40, "b")]
    first, second = (TrackingEnv(clips, body, 6, TaskConfig(max_steps=3), seed=seed) for seed in (4, 5))
    for env in (first, second):
        env.reset()
    for _ in range(4):
        first.step(torch.zeros(6, first.action_size))
    kept = {name: value.clone() for name, value in env_tensors(first).items()}
    restore_env(second, kept)
    assert 0.0 < float(second.sampler.seen.sum()) == float(first.sampler.seen.sum())
    assert torch.equal(second.sampler.failure, first.sampler.failure)
    assert all(torch.equal(a, b) for a, b in zip(first.sampler.draw(50), second.sampler.draw(50), strict=True))
    restore_env(second, {name: value for name, value in kept.items() if name != "seen"})
    assert (second.sampler.seen == MEMORY).all(), "an older checkpoint's rates are not taken for fresh ones"


def test_the_hardest_seconds_are_among_those_that_were_played(body: Body, tmp_path: Path) -> None:
    starts = sampler(body, 4 * SEGMENT_STEPS + 1)
    for segment, failed in ((1, False), (2, True)):
        at = torch.full((8,), (segment + 1) * SEGMENT_STEPS)
        starts.record(0 * at, at - 1, at, at, at == (at if failed else 0), torch.zeros(8, dtype=torch.bool))
    write_json(tmp_path / WEIGHTS_FILE, starts.table())
    assert [segment.start_s for segment in hardest_segments(tmp_path)] == [2.0, 1.0]
    older = {name: values for name, values in starts.table().items() if name != "seen"}
    write_json(tmp_path / WEIGHTS_FILE, older)
    assert len(hardest_segments(tmp_path)) == 4, "a file that does not tell what was played"
