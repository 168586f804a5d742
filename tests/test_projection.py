"""Projection: batches, what cannot be projected, reference preprocessing, partial rescue, and resuming."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from morphloop.base import MotionError
from morphloop.cli import main
from morphloop.cli.project import read_all
from morphloop.envs import Observer, Reference, build_library, prepare, reference_of
from morphloop.envs.config import ConditioningConfig
from morphloop.imitator import IlqrConfig, Policy, Projection, ProjectionConfig, new_policy, project_clips
from morphloop.imitator.projection import project as projecting
from morphloop.imitator.projection import rollouts
from morphloop.imitator.projection.config import RescueConfig
from morphloop.imitator.projection.rescue import cut_rollout, longest_segment, rescue
from morphloop.imitator.projection.rollouts import policy_rollouts, rollouts_in_batches
from morphloop.metrics import measure_rollout, track_errors
from morphloop.motion import (
    DEFAULT_SKELETON,
    Clip,
    Skeleton,
    load_clip,
    load_rollout,
    make_corpus,
    read_manifest,
    save_clip,
)
from morphloop.motion.config import ReadingConfig
from morphloop.refinement_loop import lineage, project_folder
from morphloop.refinement_loop.timing import TIMING
from morphloop.sim import Body, Recorder, certify, default_body

QUICK = IlqrConfig(horizon=8, iterations=1, hard_iterations=1)
"""The least effort that tracks."""
QUIET = ConditioningConfig(smooth=False, hold_feet=False, balance=False)


@pytest.fixture(scope="module")
def body() -> Body:
    torch.set_num_threads(1)
    return default_body()


@pytest.fixture(scope="module")
def squat(body: Body) -> Clip:
    """Two seconds of a squat."""
    clip = next(c for c in make_corpus(24, seed=4) if c.provenance.notes["action"] == "squat")
    return replace(clip.slice(0, 61), name="squat")


def small(clip: Clip, start: int, frames: int = 9) -> Clip:
    return replace(clip.slice(start, start + frames), name=f"{clip.name}{start}")


def shaky_policy(body: Body) -> Policy:
    """A policy whose answers are not zero."""
    policy = new_policy(body, hidden=(16,), seed=0)
    with torch.no_grad():
        policy.actor[-1].weight.mul_(20.0)  # type: ignore[union-attr, operator]
    return policy.eval()


def slow(clip: Clip, frames: int, name: str) -> Clip:
    """The first pose of a clip held for so many frames, one a second."""
    held = np.zeros(frames, int)
    return replace(clip, fps=1.0, root_pos=clip.root_pos[held], rotations=clip.rotations[held], name=name)


# -- one batch, many clips -------------------------------------------------------------------------------------------


def test_projection_keeps_order_and_says_why_there_is_nothing(body: Body, squat: Clip):
    other = replace(DEFAULT_SKELETON, offsets=DEFAULT_SKELETON.offsets * 1.2)
    stranger = Clip(squat.fps, other, squat.root_pos, squat.rotations, name="stranger")
    endless = slow(squat, 701, "endless")
    short = small(squat, 0, 6)
    done: list[Projection] = []
    config = ProjectionConfig(projector="optimiser", ilqr=QUICK)
    results = project_clips([short, stranger, endless, short], config=config, on_done=done.append, body=body)
    assert [p.source.name for p in results] == [short.name, "stranger", "endless", short.name]
    assert sorted(map(id, done)) == sorted(map(id, results))
    for nothing, why in ((results[1], "skeleton differs"), (results[2], "700 s long, at most 600 s can be tracked")):
        assert nothing.clip is None
        assert nothing.rollout is None
        assert why in str(nothing.reason)
        assert "\n" not in str(nothing.reason)
    for projection in (results[0], results[3]):
        assert projection.certificate is not None
        assert projection.certificate.bit_equal
        assert projection.projector == "optimiser"
        assert projection.source is short
        assert projection.clip is not None
        assert projection.clip.provenance.parent == short.id
        assert projection.clip.provenance.projector == "optimiser"
        assert projection.reason is None


def test_a_policys_rollout_is_the_same_to_the_byte_in_any_company(body: Body, squat: Clip):
    policy = shaky_policy(body)
    squat = prepare(squat, body)
    parts = [squat.slice(k, k + 5 + k) for k in range(0, 35, 1)]
    references = [reference_of(clip, body) for clip in [*parts, squat]]
    together = policy_rollouts(policy, references, body)
    (alone,) = policy_rollouts(policy, references[-1:], body)
    assert alone.num_frames > 10
    assert np.array_equal(together[-1].qpos, alone.qpos)
    assert np.array_equal(together[-1].ctrl, alone.ctrl)
    assert np.array_equal(together[7].qpos, policy_rollouts(policy, references[7:8], body)[0].qpos)


def test_many_clips_are_rolled_out_in_batches_and_come_back_in_order(
    body: Body, squat: Clip, monkeypatch: pytest.MonkeyPatch
):
    policy, squat = shaky_policy(body), prepare(squat, body)
    parts = [replace(squat.slice(k, k + frames), name=str(k)) for k, frames in enumerate((9, 5, 7, 20, 5))]
    clips = [reference_of(clip, body) for clip in parts]
    whole, sizes = policy_rollouts(policy, clips, body), []

    def counted(policy: Policy, references: list[Reference], body: Body):
        sizes.append(max(clip.num_frames for clip in references) * len(references))
        return policy_rollouts(policy, references, body)

    monkeypatch.setattr(rollouts, "policy_rollouts", counted)
    monkeypatch.setattr(rollouts, "BATCH_ROWS", 18)
    found = rollouts_in_batches(policy, clips, body)
    assert sizes == [10, 18, 20], "a clip that is longer than a batch is one of its own"
    assert [rollout.name for rollout in found] == [clip.name for clip in clips]
    for one, other in zip(found, whole, strict=True):
        assert np.array_equal(one.qpos, other.qpos)
    assert rollouts_in_batches(policy, [], body) == []


def test_a_clip_too_long_for_memory_fails_alone(body: Body, squat: Clip, monkeypatch: pytest.MonkeyPatch):
    roll = projecting.policy_rollouts

    def small(policy: Policy, references: list[Reference], body: Body):
        if any(reference.name == "huge" for reference in references):
            raise MotionError(f"{len(references)} clips: 9 frames need 99.9 GB on cpu, 0.1 GB are free; expected fewer")
        return roll(policy, references, body)

    monkeypatch.setattr(projecting, "policy_rollouts", small)
    clips = [squat, replace(squat, name="huge"), replace(squat, name="other")]
    config = ProjectionConfig(projector="policy")
    found = project_clips(clips, new_policy(body), config, body=body)
    assert [p.source.name for p in found] == ["squat", "huge", "other"]
    assert [p.clip is None for p in found] == [False, True, False]
    assert found[1].reason == "1 clips: 9 frames need 99.9 GB on cpu, 0.1 GB are free; expected fewer"
    assert found[0].reason is None


def test_a_world_that_diverges_ends_alone(body: Body, squat: Clip):
    wild = small(squat, 0)
    jumping = wild.root_pos.copy()
    jumping[1::2] += 3000.0  # 90 km/s: MuJoCo gives the simulation up
    wild = replace(wild, root_pos=jumping, name="wild")
    config = ProjectionConfig(projector="optimiser", ilqr=QUICK)
    (calm,) = project_clips([small(squat, 0)], config=config, body=body)
    failed, beside = project_clips([wild, small(squat, 0)], shaky_policy(body), replace(config), body=body)
    assert failed.tracking["success"] == 0.0
    assert failed.clip is not None
    assert failed.clip.num_frames < wild.num_frames
    assert np.isfinite(failed.clip.root_pos).all()
    assert calm.rollout is not None
    assert beside.rollout is not None
    assert beside.tracking["success"] == 1.0


def test_what_no_clip_can_be_projected_with_is_refused_at_once(body: Body, squat: Clip):
    with pytest.raises(MotionError, match="needs a policy file"):
        project_clips([squat], None, ProjectionConfig(projector="policy"), body=body)
    with pytest.raises(MotionError, match=r"made for body 'smpl24_hinge' .*asked to drive 'smpl24'"):
        project_clips([squat], new_policy(default_body("hinge"), hidden=(8,)), body=body)
    names = [n for n in DEFAULT_SKELETON.names if n.split("_")[-1] not in ("foot", "ankle")]
    kept = [DEFAULT_SKELETON.index(n) for n in names]
    parents = tuple(-1 if p < 0 else kept.index(p) for p in (DEFAULT_SKELETON.parents[j] for j in kept))
    footless = Body(Skeleton(tuple(names), parents, DEFAULT_SKELETON.offsets[kept]), name="stumps")
    with pytest.raises(MotionError, match=r"body 'stumps' has no left_ankle, left_foot, right_ankle.* needs feet"):
        project_clips([squat], config=ProjectionConfig(projector="optimiser"), body=footless)


def test_projection_by_policy_is_certified_and_names_its_policy(body: Body, squat: Clip):
    policy = new_policy(body, hidden=(16,), seed=0)
    (result,) = project_clips([small(squat, 0)], policy, ProjectionConfig(projector="policy"), body=body)
    assert result.projector == "policy"
    assert result.certificate is not None
    assert result.certificate.bit_equal
    assert result.clip is not None
    assert result.clip.provenance.models["policy"] == policy.hash


# -- reference preprocessing -----------------------------------------------------------------------------------------


def test_errors_are_taken_against_what_was_prepared_not_against_what_was_preprocessed(body: Body, squat: Clip):
    squat = small(squat, 15, 31)
    slide = np.linspace(0.0, 0.05, 31)[:, None] * [1.0, 0.0, 0.0]
    squat = replace(squat, root_pos=squat.root_pos + slide)
    config = ProjectionConfig(projector="optimiser", conditioning=QUIET, ilqr=QUICK)
    more = replace(config, conditioning=ConditioningConfig(smooth=True, hold_feet=True, balance=True))
    (plain,), (preprocessed,) = (project_clips([squat], config=c, body=body) for c in (config, more))
    prepared = prepare(squat, body)
    for projection in (plain, preprocessed):
        assert projection.source is squat
        assert projection.reference is not None
        assert projection.clip is not None
        assert projection.reference.id == prepared.id
        assert projection.tracking == track_errors(projection.clip, prepared, completed=True)
    assert plain.clip is not None
    assert preprocessed.clip is not None
    assert np.abs(plain.clip.root_pos - preprocessed.clip.root_pos).max() > 1e-3


def test_a_reference_too_long_to_balance_says_so(body: Body, squat: Clip):
    long = slow(squat, 63, "long")
    config = ProjectionConfig(projector="optimiser", conditioning=replace(QUIET, balance=True))
    (result,) = project_clips([long], config=config, body=body)
    assert result.clip is None
    assert "long: 62 s long, a reference of at most 60 s can be balanced" in str(result.reason)


# -- rescue ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("good", "speed", "shortest", "expected"),
    [
        ("1110111101", 0, 2, (4, 8)),
        ("1110111", 0, 3, (0, 3)),
        ("1110111", 0, 4, None),
        ("1111111111", 200, 3, None),
        ("0000", 0, 2, None),
    ],
)
def test_the_longest_segment(good: str, speed: float, shortest: int, expected: tuple[int, int] | None):
    flags = np.array([c == "1" for c in good])
    assert longest_segment(flags, np.full((len(good), 2), float(speed)), shortest, 150.0) == expected


def test_a_segment_leaves_out_what_slides():
    speed = np.full((20, 2), np.nan)
    speed[:, 0] = 10.0
    speed[12:, 0] = 900.0
    start, stop = longest_segment(np.ones(20, bool), speed, 5, 150.0) or (0, 0)
    assert (start, stop) == (0, 14), "two fast steps keep the mean of fourteen under the bound, three of fifteen do not"
    assert np.nanmean(speed[start:stop]) <= 150.0 < np.nanmean(speed[: stop + 1])


@pytest.fixture(scope="module")
def fallen(body: Body, squat: Clip) -> Projection:
    """A squat that is thrown off its feet after one and a half seconds."""
    source = replace(squat.with_provenance(stage="generate", prompt="a person squats."), texts=("a person squats.",))
    reference = prepare(source, body)
    library = build_library([reference], body)
    observer, index = Observer(body, library), torch.zeros(1, dtype=torch.long)
    recorder = Recorder(body, library.qpos[0].double().numpy(), library.qvel[0].double().numpy())
    for step in range(60):
        state = observer.kinematics(*(torch.from_numpy(x[-1][None]) for x in (recorder.qpos, recorder.qvel)))
        target = observer.base(state, index, index + step)[0].double().numpy()
        assert recorder.step(target if step < 45 else np.full_like(target, 2.0))
    rollout = recorder.rollout(0, source.name)
    clip = body.clip_from_qpos(rollout.qpos, rollout.fps, source.name)
    origin = replace(source.provenance, parent=source.id, stage="project", projector="optimiser")
    return Projection(
        source=source,
        reference=reference,
        clip=replace(clip, texts=source.texts, provenance=origin),
        rollout=rollout,
        projector="optimiser",
        tracking=track_errors(clip, reference, completed=False),
        certificate=certify(rollout, body),
        reason=None,
        wall_s=1.0,
        sim_metrics=measure_rollout(rollout, body),
    )


def test_a_cut_replays_from_the_state_it_starts_in(body: Body, fallen: Projection):
    assert fallen.rollout is not None
    part = cut_rollout(fallen.rollout, 10, 30, body)
    assert part.num_frames == 20
    assert len(part.ctrl) == 19
    assert certify(part, body).bit_equal
    assert np.array_equal(part.qpos, fallen.rollout.qpos[10:30])
    whole = replace(part, start=fallen.rollout.start)
    assert not certify(whole, body).passed, "a cut with the start of the whole does not replay"
    with pytest.raises(MotionError, match="does not replay to control step 10"):
        cut_rollout(replace(fallen.rollout, qpos=fallen.rollout.qpos + 1e-9), 10, 30, body)


def test_the_good_part_of_a_fall_is_rescued(body: Body, fallen: Projection):
    part = rescue(fallen, body, 150.0)
    assert part is not None
    assert part.clip is not None
    assert fallen.clip is not None
    assert part.rollout is not None
    assert part.certificate is not None
    span = part.clip.provenance.notes["rescued"]
    start, stop = round(span["from_s"] * 30), round(span["to_s"] * 30) + 1
    assert span["of"] == "squat"
    assert 31 <= stop - start <= 60
    assert 45 <= stop < 58, "it goes on a little while the body is thrown and ends before it lies"
    assert np.array_equal(part.clip.root_pos, fallen.clip.root_pos[start:stop])
    assert part.certificate.bit_equal
    assert certify(part.rollout, body).bit_equal
    assert part.tracking["success"] == 1.0
    assert part.reference is not None
    assert part.source.num_frames == part.reference.num_frames == part.clip.num_frames
    assert np.array_equal(part.source.root_pos, fallen.source.root_pos[start:stop])
    assert (part.clip.texts, part.source.texts, part.clip.provenance.prompt) == ((), (), None)
    assert part.clip.provenance.parent == part.source.id
    assert part.source.provenance.parent == fallen.source.id
    assert rescue(fallen, body, 150.0, RescueConfig(shortest_s=1.95)) is None
    assert rescue(replace(fallen, clip=None), body, 150.0) is None


# -- the command -----------------------------------------------------------------------------------------------------


@pytest.fixture
def sources(tmp_path: Path, squat: Clip) -> Path:
    """Two clips of a fifth of a second, in which the body stands: quick to project, and too short to be accepted."""
    folder = tmp_path / "in"
    for k in (0, 3):
        clip = replace(small(squat, k, 7), name=f"part{k}")
        save_clip(folder / f"{clip.name}.npz", clip)
    return folder


def tree(folder: Path) -> dict[str, bytes]:
    """Every file under a folder but that of the seconds that it took."""
    files = (p for p in sorted(folder.rglob("*")) if p.is_file() and p.name != TIMING)
    return {str(p.relative_to(folder)): p.read_bytes() for p in files}


def test_a_killed_projection_goes_on_and_ends_as_if_nothing_had_been(tmp_path: Path, sources: Path):
    out, whole = tmp_path / "out", tmp_path / "whole"
    args = ["project", str(sources), "--policy", "none"]
    code = "import sys; from morphloop.cli import main; sys.exit(main(sys.argv[1:]))"
    run = subprocess.Popen([sys.executable, "-c", code, *args, "--out", str(out)], stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 300.0
    while not list((out / "records").glob("part*.json")) and run.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    os.kill(run.pid, signal.SIGKILL)
    assert run.wait() == -signal.SIGKILL
    before = {p: p.stat().st_mtime_ns for p in (out / "records").glob("part*.json") if '"key"' in p.read_text()}
    assert len(before) < 2, "it was killed too late to show anything"
    assert not (out / "manifest.jsonl").exists()
    (out / "records" / ".part3.json.abc.tmp").write_text("half wri")
    assert main([*args, "--out", str(out)]) == 1
    for path, written in before.items():
        assert path.stat().st_mtime_ns == written, "what was finished is not done again"
    assert main([*args, "--out", str(whole)]) == 1
    assert tree(out) == tree(whole)
    assert [row["name"] for row in read_manifest(out)] == ["part0", "part3"]


def test_what_changed_is_done_again_and_the_rest_is_not(tmp_path: Path, sources: Path, squat: Clip):
    out = tmp_path / "out"
    args = ["project", str(sources), "--policy", "none", "--out", str(out)]

    def written(*flags: str) -> dict[str, int]:
        assert main([*args, *flags]) == 1
        return {p.stem: p.stat().st_mtime_ns for p in (out / "records").iterdir()}

    first = written()
    save_clip(sources / "part3.npz", replace(small(squat, 4, 7), name="part3"))
    second = written()
    assert {name for name in first if first[name] != second[name]} == {"part3"}
    (out / "rollouts" / "part0.npz").unlink()
    third = written()
    assert {name for name in first if second[name] != third[name]} == {"part0"}
    config = json.loads((out / "config.json").read_text())
    assert config["projection"]["conditioning"]["hold_feet"] is True
    (sources / "part3.npz").unlink()
    (out / "records" / "part0.json").write_text("{")
    assert written()["part0"] != third["part0"]
    assert written("--no-hold-feet")["part0"] != third["part0"]


def test_a_clip_that_fell_is_rejected_and_its_good_part_kept(tmp_path, monkeypatch, fallen: Projection, body: Body):
    def fall(clips, policy, config, on_done, body, workers):
        for clip in clips:
            on_done(replace(fallen, source=clip))

    monkeypatch.setattr(project_folder, "project_clips", fall)
    save_clip(tmp_path / "in" / "squat.npz", fallen.source)
    out, result = tmp_path / "out", tmp_path / "out.json"
    args = ["project", str(tmp_path / "in"), "--policy", "none", "--out", str(out), "--json", str(result)]
    assert main(args) == 0
    report = json.loads(result.read_text())
    whole, part = report["clips"]
    assert (whole["name"], whole["verdict"], whole["rescued_as"]) == ("squat", "rejected", "squat_rescued")
    assert whole["reason"] == "fell"
    assert (part["name"], part["verdict"], part["rescued_of"], part["texts"]) == (
        "squat_rescued",
        "rescued",
        "squat",
        [],
    )
    assert part["certificate"]["bit_equal"]
    assert part["tracking"]["success"] == 1.0
    assert part["before"].keys() == part["after"].keys()
    assert {"all", "accepted", "rescued"} == report["summary"].keys()
    assert certify(load_rollout(out / "rollouts" / "squat_rescued.npz"), body).bit_equal
    kept = load_clip(out / "clips" / "squat_rescued.npz")
    assert (kept.texts, kept.provenance.verdict) == ((), "rescued")
    assert (kept.num_frames - 1) / 30 == pytest.approx(part["to_s"] - part["from_s"], abs=1e-3)
    walked = [
        (step.motion.provenance.stage, step.motion.name)
        for step in lineage(out / "clips" / "squat_rescued.npz", out)
        if step.motion
    ]
    assert walked == [("project", "squat_rescued"), ("cut", "squat_rescued"), ("generate", "squat")]
    assert main([*args, "--no-rescue"]) == 1
    assert [row["name"] for row in read_manifest(out)] == ["squat"]
    assert not list(out.rglob("squat_rescued*"))


def test_files_of_many_motions_give_a_clip_each_with_a_name_of_its_own(tmp_path: Path, squat: Clip):
    folder = tmp_path / "in"
    for name in ("walk", "walk_rescued"):
        save_clip(folder / f"{name}.npz", small(squat, 0))
    joints = squat.positions[None, :12] @ np.array([[0.0, 0.0, 1.0], [-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])
    joints = np.concatenate([joints, joints + np.nan])
    np.savez(folder / "batch.npz", joints=joints, classes=np.zeros(2))
    clips, _, failed = read_all(sorted(folder.iterdir()), ReadingConfig(30.0), default_body(), lambda done: None)
    assert [clip.name for clip in clips] == ["batch_0", "walk", "walk_rescued_2"], (
        "walk_rescued is kept for walk's part"
    )
    assert [row["path"] for row in failed] == [str(folder / "batch.npz")]
    assert "batch.npz:1" in failed[0]["reason"]
