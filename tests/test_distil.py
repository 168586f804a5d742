"""Demonstrations of the expert, what a policy learns from them, and variations of clips."""

from __future__ import annotations

import itertools
import json
import sys
import time
from dataclasses import replace
from pathlib import Path

import mujoco
import numpy as np
import pytest
import torch

from morphloop.base import MachineFault, MotionError
from morphloop.base import time_limit as limit
from morphloop.cli.train_imitator import TrainImitator
from morphloop.envs import Observer, Reference, build_library, feedback_entries, prepare, reference_of
from morphloop.imitator import (
    AugmentConfig,
    Demonstration,
    DemonstrationConfig,
    DistilConfig,
    IlqrConfig,
    Policy,
    UpdateConfig,
    WarmStartConfig,
    distil,
    load_demonstration,
    new_policy,
    record_demonstrations,
    update_policy,
    variations,
    warm_start,
)
from morphloop.imitator.bench.bench import zero_policy
from morphloop.imitator.demonstrations import demonstrations
from morphloop.imitator.demonstrations.demonstrations import load_demonstrations
from morphloop.imitator.demonstrations.distil import Collector, DemonstrationDeck
from morphloop.imitator.demonstrations.variations import vary
from morphloop.imitator.demonstrations.warm_start import failing_first, training_order
from morphloop.imitator.optimal_control.cost import difference
from morphloop.motion import DEFAULT_SKELETON, Clip, make_corpus
from morphloop.sim import Body, default_body

QUICK = DemonstrationConfig(
    IlqrConfig(horizon=8, iterations=1, hard_iterations=1, dampings=(0.0,), retries=0, threads=1)
)
SHORT = DistilConfig(updates=6, envs=16, steps=8, batches=60, minibatch=64, memory=2000, expert_updates=2)


@pytest.fixture(scope="module")
def body() -> Body:
    torch.set_num_threads(1)
    return default_body()


@pytest.fixture(scope="module")
def walk(body: Body) -> Clip:
    """A second of a walk, prepared."""
    clip = next(c for c in make_corpus(24, seed=4) if c.provenance.notes["action"] == "walk")
    return replace(prepare(clip, body).slice(20, 51), name="walk")


@pytest.fixture(scope="module")
def demonstration(body: Body, walk: Clip, tmp_path_factory: pytest.TempPathFactory) -> Demonstration:
    paths = record_demonstrations(
        [reference_of(walk, body)], tmp_path_factory.mktemp("demonstrations"), body, QUICK, workers=0
    )
    found = load_demonstration(paths[0], body)
    assert found is not None
    return found


def test_a_demonstration_is_what_physics_did(body: Body, walk: Clip, demonstration: Demonstration) -> None:
    """Without shaking, the controls that were meant lead from each state to the next."""
    assert len(demonstration) == walk.num_frames - 1
    assert np.linalg.norm(demonstration.qpos[-1, :2] - demonstration.qpos[0, :2]) > 0.3, "it walks"
    data = mujoco.MjData(body.model)
    data.qpos[:], data.qvel[:] = demonstration.qpos[0], demonstration.qvel[0]
    for step in (0, 1):
        data.ctrl[:] = demonstration.ctrl[step]
        mujoco.mj_step(body.model, data, body.substeps)
    apart = np.abs(data.qpos - demonstration.qpos[2]).max()
    assert 0.0 < apart < 0.05, "near, not equal: what was carried out was shaken by 0.02 rad"


def test_the_expert_answers_by_its_gains(body: Body, demonstration: Demonstration) -> None:
    deck = DemonstrationDeck([demonstration, demonstration], body)
    rows = torch.tensor([3, len(demonstration) + 7])
    on = deck.expert(rows, deck.qpos[rows], deck.qvel[rows])
    torch.testing.assert_close(on, deck.ctrl[rows].float())
    rng = np.random.default_rng(0)
    change = 0.02 * rng.standard_normal((2, 2 * body.model.nv))
    qpos, qvel = deck.qpos[rows].numpy().copy(), deck.qvel[rows].numpy() + change[:, body.model.nv :]
    for k in range(2):
        mujoco.mj_integratePos(body.model, qpos[k], change[k, : body.model.nv], 1.0)
    off = deck.tangent(rows, torch.from_numpy(qpos), torch.from_numpy(qvel)).numpy()
    wanted = [
        difference(body.model, demonstration.qpos[t], demonstration.qvel[t], qpos[k], qvel[k])
        for k, t in enumerate((3, 7))
    ]
    np.testing.assert_allclose(off, wanted, atol=1e-9)
    asked = deck.expert(rows, torch.from_numpy(qpos), torch.from_numpy(qvel)).numpy()
    by_hand = [demonstration.ctrl[t] - demonstration.gain[t].astype(float) @ off[k] for k, t in enumerate((3, 7))]
    np.testing.assert_allclose(asked, by_hand, atol=1e-4)


def test_every_body_that_leaves_a_demonstration_counts(body: Body, demonstration: Demonstration) -> None:
    """Also those that leave it in the same control step: one that all leave is known after as many of them."""
    count = 24
    collector = Collector(
        DemonstrationDeck([demonstration, demonstration], body), body, DistilConfig(envs=count, tube=0.0)
    )
    bodies = torch.bincount(collector.clip, minlength=2)
    collector.step(new_policy(body, (8,)), torch.zeros(count, dtype=torch.bool))
    assert collector.left_tube == count
    torch.testing.assert_close(collector.failure, 1.0 - 0.5 * 0.95**bodies)


def test_demonstrations_are_made_once_and_a_recording_can_be_cut_short(body: Body, walk: Clip, tmp_path: Path) -> None:
    clips = [reference_of(clip, body) for clip in (walk, replace(walk.slice(5, 30), name="part"))]
    told: list[str] = []
    first = record_demonstrations(
        clips, tmp_path, body, QUICK, 0, lambda: not told, lambda name, steps, why: told.append(name)
    )
    assert told == ["walk"]
    assert [path.stem for path in first] == [walk.id]
    stamp = first[0].stat().st_mtime_ns
    both = record_demonstrations(
        clips, tmp_path, body, QUICK, 0, on_demonstration=lambda name, steps, why: told.append(name)
    )
    assert told == ["walk", "part"]
    assert both[0].stat().st_mtime_ns == stamp
    assert [path.stem for path in both] == [each.clip.id for each in clips]


def test_workers_record_the_same(body: Body, walk: Clip, demonstration: Demonstration, tmp_path: Path) -> None:
    path = record_demonstrations([reference_of(walk, body)], tmp_path, body, QUICK, workers=1)[0]
    other = load_demonstration(path, body)
    assert other is not None
    assert len(other) == len(demonstration)
    for name in ("qpos", "qvel", "force", "ctrl", "gain"):
        np.testing.assert_allclose(getattr(other, name)[:5], getattr(demonstration, name)[:5], rtol=1e-3, atol=1e-3)
    assert other.reference.clip.id == walk.id


def test_a_clip_that_fails_leaves_its_beginning_or_nothing(body: Body, walk: Clip, tmp_path: Path) -> None:
    root = walk.root_pos.copy()
    root[25:, 2] += 3.0  # no body follows that
    late = replace(walk, root_pos=root, name="late")
    root = walk.root_pos.copy()
    root[5:, 2] += 3.0
    early = replace(walk, root_pos=root, name="early")
    told: list[tuple[str, int | None]] = []
    both = [reference_of(late, body), reference_of(early, body)]
    paths = record_demonstrations(
        both, tmp_path, body, QUICK, 0, on_demonstration=lambda name, steps, why: told.append((name, steps))
    )
    assert load_demonstration(paths[1], body) is None
    assert told[1] == ("early", 0)
    kept = load_demonstration(paths[0], body)
    assert (0 if kept is None else len(kept)) == told[0][1] < 25
    assert len(load_demonstrations(both, tmp_path, body)) == (0 if kept is None else 1)


def test_a_recording_that_dies_costs_one_demonstration(body: Body, walk: Clip, tmp_path: Path, monkeypatch) -> None:
    def run(work, tasks, workers):
        for number, task in enumerate(tasks):
            yield number, {"died": "killed by signal 9"} if number == 0 else next(work(task))
            yield number, None

    monkeypatch.setattr(demonstrations, "run_tasks", run)
    told: list[tuple[str, int | None, str | None]] = []
    clips = [reference_of(clip, body) for clip in (walk, replace(walk.slice(0, 26), name="part"))]
    with pytest.raises(MachineFault, match=r"1 of 2 processes .* died \(walk: killed by signal 9\); run it again"):
        record_demonstrations(clips, tmp_path, body, QUICK, workers=1, on_demonstration=lambda *row: told.append(row))
    assert told[0] == ("walk", None, "killed by signal 9")
    assert told[1][::2] == ("part", None)
    monkeypatch.undo()
    assert len(record_demonstrations(clips, tmp_path, body, QUICK, workers=0)) == 2, (
        "the machine's fault is tried again"
    )


def test_what_is_not_a_demonstration_of_this_body_is_refused(body: Body, walk: Clip, tmp_path: Path) -> None:
    path = record_demonstrations([reference_of(walk, body)], tmp_path, body, QUICK, workers=0)[0]
    with pytest.raises(MotionError, match=f"recorded with body {body.hash}, asked for 'smpl24_hinge'"):
        load_demonstration(path, default_body("hinge"))
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(MotionError, match="not a demonstration"):
        load_demonstration(path, body)
    with pytest.raises(MotionError, match="no demonstrations to learn from"):
        distil(new_policy(body, (8,)), [], body)


def test_a_policy_comes_nearer_to_the_expert(body: Body, demonstration: Demonstration) -> None:
    policy, rows = new_policy(body, (64,), seed=0), []
    distil(policy, [demonstration], body, replace(SHORT, updates=12), rows.append)
    assert [row["update"] for row in rows] == list(range(1, 13))
    assert rows[-1]["env_steps"] == len(rows) * SHORT.steps * SHORT.envs
    assert not torch.equal(policy.std, torch.ones_like(policy.std)), "the normaliser was fitted"
    observer = Observer(body, build_library([demonstration.reference], body))
    frame, clip = torch.arange(len(demonstration)), torch.zeros(len(demonstration), dtype=torch.long)
    qpos, qvel, force = (torch.from_numpy(getattr(demonstration, name)) for name in ("qpos", "qvel", "force"))
    state = observer.kinematics(qpos, qvel)
    label = (torch.from_numpy(demonstration.ctrl).float() - observer.base(state, clip, frame)) / observer.scale
    obs = observer.observe(state, qvel, force, clip, frame)
    told = policy.act(obs)
    assert (told - label).square().mean() < 0.6 * label.square().mean()
    seen = feedback_entries(body)
    torch.testing.assert_close(policy.act(torch.where(seen, obs, obs + 1.0)), told)
    assert not torch.allclose(policy.act(torch.where(seen, obs + 1.0, obs)), told)


def test_distillation_repeats_to_the_byte_however_long_an_update_takes(
    body: Body, demonstration: Demonstration
) -> None:
    def made(pause_s: float) -> str:
        config = replace(SHORT, updates=3, batches=3)
        return distil(new_policy(body, (16,)), [demonstration], body, config, lambda row: time.sleep(pause_s)).hash

    assert made(0.0) == made(0.05)


def test_variations_move_and_are_their_own(walk: Clip) -> None:
    clips = [replace(walk, skeleton=DEFAULT_SKELETON), *make_corpus(4, seed=1)]
    made = variations(clips, 12, seed=3)
    again = variations(clips, 12, seed=3)
    assert [clip.id for clip in made] == [clip.id for clip in again]
    assert len({clip.id for clip in made} | {clip.id for clip in clips}) == 12 + len(clips)
    for clip in made:
        assert np.abs(np.diff(clip.rotations, axis=0)).max() < 0.25, "no frame jumps"
        assert np.ptp(clip.positions, axis=0).max() > 0.05, "it moves"
    plain = AugmentConfig(tempo=(1.0, 1.0), crouch=0.0, turn=0.0, swap=0.0, noise=0.0, spoil=0.0)
    same = variations(clips[:1], 1, 0, plain)[0]
    np.testing.assert_allclose(same.positions, clips[0].positions, atol=1e-9)


def test_the_upper_body_of_another_clip_moves_at_its_own_speed(walk: Clip) -> None:
    waving = next(c for c in make_corpus(24, seed=4) if c.provenance.notes["action"] == "wave")
    only_swap = AugmentConfig((1.0, 1.0), 0.0, 0.0, swap=1.0, noise=0.0, spoil=0.0)
    rng = np.random.default_rng
    slow = vary(walk, waving, rng(0), only_swap, default_body())
    fast = vary(walk, waving.resampled(120.0), rng(0), only_swap, default_body())
    np.testing.assert_allclose(slow.positions, fast.positions, atol=0.01)
    assert np.abs(slow.positions - walk.positions).max() > 0.1


def test_a_slow_variation_is_longer_and_a_crouch_is_lower(walk: Clip) -> None:
    quiet = AugmentConfig(tempo=(1.0, 1.0), crouch=0.0, turn=0.0, swap=0.0, noise=0.0, spoil=0.0)
    slow = variations([walk], 1, 0, replace(quiet, tempo=(0.5, 0.5)))[0]
    assert slow.duration == pytest.approx(2.0 * walk.duration, rel=0.05)
    crouched = variations([walk], 8, 0, replace(quiet, crouch=0.4))
    legs = [np.ptp(clip.positions[0, :, 2]) for clip in crouched]
    assert min(legs) < np.ptp(walk.positions[0, :, 2]) - 0.02


def test_training_order_mixes_clips_and_variations(walk: Clip) -> None:
    clips = make_corpus(6, seed=2)
    order = training_order(clips, WarmStartConfig(variations=0.5), default_body())
    assert len(order) == 9
    varied = [clip.name.endswith("_varied") for clip in order]
    assert 0 < sum(varied[:5]) < 3


def test_a_warm_start_is_kept_and_not_made_twice(body: Body, walk: Clip, tmp_path: Path) -> None:
    config = WarmStartConfig(
        record_s=60.0, distil_s=60.0, variations=0.0, hidden=(16,), workers=0, expert=QUICK, distil=SHORT
    )
    rows: list[dict] = []
    policy = warm_start([walk], [walk], tmp_path, body, config, on_update=rows.append)
    assert (tmp_path / "distillation.jsonl").read_text().count("\n") == len(rows)
    assert any("test_success" in row for row in rows)
    assert "test_success" in rows[-1]
    again = warm_start([walk], [], tmp_path, body, replace(config, distil_s=99.0))
    assert again.hash == policy.hash
    with pytest.raises(MotionError, match=r"holds a warm start with seed = 0, asked for 1"):
        warm_start([walk], [], tmp_path, body, replace(config, seed=1))
    with pytest.raises(MotionError, match=r"holds a warm start with clips = "):
        warm_start([walk.slice(0, 30)], [], tmp_path, body, config)


def test_what_a_policy_loses_comes_first_with_some_of_the_rest(
    body: Body, walk: Clip, monkeypatch: pytest.MonkeyPatch
) -> None:
    clips = [
        reference_of(replace(walk, name=name), body)
        for name in ("ok1", "fail1", "ok2", "fail2", "fail3", "fail4", "fail5")
    ]

    def rolled(policy: Policy, references: list[Reference], body: Body) -> list[Clip]:
        return [each.clip.slice(0, 20) if each.name.startswith("fail") else each.clip for each in references]

    monkeypatch.setattr(sys.modules[warm_start.__module__], "rollouts_in_batches", rolled)
    found = [clip.name for clip in failing_first(zero_policy(body), clips, body)]
    assert found == ["fail1", "fail2", "fail3", "fail4", "ok1", "fail5", "ok2"]


def test_a_policy_is_taught_further(body: Body, walk: Clip, tmp_path: Path) -> None:
    start = zero_policy(body)
    config = WarmStartConfig(variations=0.0, workers=0, expert=QUICK, distil=replace(SHORT, updates=2))
    taught = warm_start([walk], [], tmp_path, body, config, start=start)
    assert taught.spec == start.spec
    assert taught.hash != start.hash
    assert start.hash == zero_policy(body).hash, "the given policy stays as it is"
    with pytest.raises(MotionError, match=r"holds a warm start with start = .*, asked for None"):
        warm_start([walk], [], tmp_path, body, config)


def test_a_recording_that_was_killed_has_the_time_that_is_left(body: Body, walk: Clip, tmp_path: Path) -> None:
    config = WarmStartConfig(record_s=60.0, variations=0.0, hidden=(16,), workers=0, expert=QUICK)
    (tmp_path / "demonstrations").mkdir()
    (tmp_path / "demonstrations" / "recorded.json").write_text('{"seconds": 61.0}')
    (tmp_path / "demonstrations" / ".half.tmp").write_bytes(b"half")
    with pytest.raises(MotionError, match="could track none of 1 clips"):
        warm_start([walk], [], tmp_path, body, config)
    assert not (tmp_path / "demonstrations" / ".half.tmp").exists()


def test_an_update_reports_on_clips_that_it_did_not_learn_from(body: Body, walk: Clip, tmp_path: Path) -> None:
    clips = [replace(walk.slice(k, k + 22), name=f"part{k}") for k in (0, 4, 8)]
    student = new_policy(body, hidden=(16,), seed=0)
    before, rounds = student.hash, []
    config = UpdateConfig(expert=QUICK, distil=replace(SHORT, updates=3))
    taught, report = update_policy(student, clips, 0, config, rounds.append, body, tmp_path, workers=0)
    assert len(report["held_out_clips"]) == 1
    assert sorted(report["held_out_clips"] + report["learned_clips"]) == ["part0", "part4", "part8"]
    for stage in ("before", "after", "learned_before", "learned_after"):
        assert {"success", "skill", "survived", "e_mpjpe_mm"} <= set(report[stage])
    assert report["recorded"] >= 1
    assert report["rounds"] == [rounds[0], rounds[-1]]
    assert (report["updates"], report["stopped"]) == (3, None)
    assert "seconds" not in json.dumps(report), "a clock is not a result"
    assert (taught.hash == before) == (report["kept"] == "old")
    assert not list(tmp_path.iterdir()), "demonstrations are gone when they were used"
    assert student.hash == before, "the given policy stays as it is"
    with pytest.raises(MotionError, match="1 clips can be tracked, expected at least 2"):
        update_policy(student, clips[:1], seed=0)


def test_an_update_without_time_for_a_demonstration_keeps_the_old_policy(body: Body, walk: Clip) -> None:
    student = new_policy(body, hidden=(16,), seed=0)
    taught, report = update_policy(student, [walk, walk.slice(0, 25)], seed=0, limit_s=0.0, workers=0)
    assert report["recorded"] == 0
    assert report["stopped"] == "0 of 1 demonstrations, stopped by the limit of 0 s"
    assert report["kept"] == "old"
    assert taught.hash == student.hash


def test_an_update_that_a_time_limit_ends_says_so(body: Body, walk: Clip, monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = itertools.count()
    monkeypatch.setattr(limit.time, "monotonic", lambda: float(next(ticks)))
    clips, student = [walk.slice(0, 22), walk.slice(4, 26)], new_policy(body, hidden=(16,))
    how = UpdateConfig(expert=QUICK, distil=SHORT, recording=1.0)
    _, report = update_policy(student, clips, 0, how, limit_s=5.0, workers=0)
    assert 0 < report["updates"] < SHORT.updates
    assert report["stopped"] == f"{report['updates']} of {SHORT.updates} updates, stopped by the limit of 5 s"


def test_a_warm_start_that_a_time_limit_ends_says_so(body: Body, walk: Clip, tmp_path: Path) -> None:
    config = WarmStartConfig(distil_s=0.0, variations=0.0, hidden=(16,), workers=0, expert=QUICK, distil=SHORT)
    warm_start([walk], [], tmp_path, body, config)
    told = json.loads((tmp_path / "stopped.json").read_text())["stopped"]
    assert told == [f"0 of {SHORT.updates} updates, stopped by the limit of 0 s"]


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ({"start": "p.safetensors", "demonstration_minutes": 1.0}, "no such policy file"),
        ({"minutes": 0.0}, "nothing to do"),
        ({"steps": 0}, "nothing to do"),
    ],
)
def test_a_warm_start_that_contradicts_itself_is_refused(flags: dict, said: str, tmp_path: Path) -> None:
    with pytest.raises(MotionError, match=said):
        TrainImitator(out=tmp_path / "run", **flags).run()
    assert not (tmp_path / "run").exists()


def test_a_warm_start_is_made_by_one_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(MotionError, match="expected a warm start of one process first"):
        TrainImitator(out=tmp_path / "run", demonstration_minutes=1.0).run()
