"""A run killed anywhere and resumed: nothing repeated, no clip lost, the same hashes. Physics is real."""

import json
import shlex
import sys
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from morphloop.base import MachineFault, MotionError, write_json
from morphloop.generator import FinetuneConfig, FinetuneReport, OutsideConfig
from morphloop.imitator import Projection
from morphloop.imitator.projection.config import RescueConfig
from morphloop.metrics import track_errors
from morphloop.motion import load_clip, make_corpus, make_described, read_manifest, save_clip
from morphloop.motion.rotations import quat_to_rotvec
from morphloop.refinement_loop import (
    STAGES,
    LoopConfig,
    SelectionConfig,
    finished_rounds,
    lineage,
    project_folder,
    read_config,
    resume_run,
    rounds,
    run_faults,
    start_run,
    verify,
    write_report,
)
from morphloop.refinement_loop.ledger import read_ledger
from morphloop.refinement_loop.stages import Stage
from morphloop.refinement_loop.steps import finetune, imitate
from morphloop.sim import Recorder, certify, default_body

PROMPTS = ("a person waits.", "a person dances.", "a person rests.")


def quiet(label, done, total):
    """Watches nothing."""


def replayed(clip, policy):
    """A projection by servos that are simply asked for the clip: real physics, real certificate, no balance."""
    body, source = default_body(), clip
    clip = clip.slice(0, 25)
    recorder = Recorder(body, body.qpos_from_clip(clip)[0], np.zeros(body.model.nv))
    for target in quat_to_rotvec(clip.rotations[1:, 1:]).reshape(-1, body.model.nu):
        assert recorder.step(target)
    rollout = recorder.rollout(0, clip.name)
    moved = body.clip_from_qpos(rollout.qpos, rollout.fps, clip.name)
    models = source.provenance.models | ({} if policy is None else {"policy": policy.hash})
    origin = replace(source.provenance, parent=source.id, stage="project", models=models, simulator=rollout.simulator)
    moved = replace(moved, texts=source.texts, provenance=origin)
    certificate = certify(rollout, body)
    return Projection(
        source=source,
        reference=clip,
        clip=moved,
        rollout=rollout,
        projector="optimiser",
        tracking=track_errors(moved, clip) | {"skill": 0.9},
        certificate=certificate,
        reason=None,
        wall_s=0.01,
        sim_metrics={"sim_contact_ratio": float(rollout.foot_contact.mean())},
    )


class Projector:
    """Stands in for `project_clips`; counts what it projected and dies after `dies_after` clips."""

    def __init__(self, dies_after=None):
        self.names, self.dies_after = [], dies_after

    def __call__(self, clips, policy, config, on_done, *rest):
        for clip in clips:
            if self.dies_after is not None and len(self.names) >= self.dies_after:
                raise KeyboardInterrupt
            self.names.append(clip.name)
            on_done(replayed(clip, policy))


class FakeGenerator:
    """Corpus clips lifted by `lift` metres; fine-tuning changes the lift by `step`."""

    can_finetune = True

    def __init__(self, lift=0.05, step=-0.03, report=None):
        self.lift, self.step, self.report = lift, step, report

    def generate(self, prompts, seed, seconds=(3.0, 4.0)):
        clips = make_corpus(len(prompts), seed % 1000)
        return [
            replace(clip.moved(np.array([0.0, 0.0, self.lift])), texts=(prompt,)).with_provenance(
                stage="generate", prompt=prompt, seed=seed, models={"generator": self.hash()}
            )
            for clip, prompt in zip(clips, prompts, strict=True)
        ]

    def finetune(self, accepted, replay, config):
        assert all(clip.provenance.stage == "project" for clip in accepted)
        report = FinetuneReport(len(accepted), len(replay), config.steps, 0.1, 2.0, 1.0, None, None)
        return FakeGenerator(self.lift + self.step, self.step, report)

    def hash(self):
        return f"fake{self.lift:.3f}"

    def save(self, folder):
        return write_json(Path(folder) / "config.json", {"lift": self.lift, "step": self.step})

    @staticmethod
    def load(folder):
        return FakeGenerator(**json.loads((Path(folder) / "config.json").read_text()))


def use_fakes(patch, home):
    patch.setattr(project_folder, "project_clips", Projector())
    patch.setattr(finetune, "load_tuned", lambda folder, before: FakeGenerator.load(folder))
    patch.setattr(rounds, "load_generator", lambda folder, how, outside: FakeGenerator.load(folder))
    FakeGenerator().save(home / "weights")


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A place with a fake generator, and the projector in place of physics' own driver."""
    use_fakes(monkeypatch, tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def whole_hashes(tmp_path_factory):
    """Hashes of a run that nobody interrupted."""
    home = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        use_fakes(patch, home)
        return hashes(start_run(home / "run", config_for(home), quiet))


def config_for(home, **changes):
    few = {"guard_prompts": 4, "guard_samples": 2, "finetune": FinetuneConfig(steps=2, batch=4)}
    return LoopConfig(generator=str(home / "weights"), prompts=PROMPTS, **few | changes)


def hashes(results):
    return {(result.number, name): done.hash for result in results for name, done in result.stages.items()}


def test_two_rounds_hand_over_generator_and_verdicts(home):
    results = start_run(home / "run", config_for(home, rounds=2), quiet)
    assert [list(result.stages) for result in results] == [list(STAGES)] * 2
    for result in results:
        rows = read_manifest(result.stages["select"].folder)
        assert len(rows) == len(PROMPTS)
        assert all(row["verdict"] == "accepted" or row["reason"] for row in rows)
        assert result.stages["imitate"].manifest["notes"]["skipped"].startswith("no policy")
    assert results[0].counts["accepted"] > 0
    tuned = results[0].stages["finetune"].manifest["notes"]
    assert tuned["rolled_back"] is False
    assert results[1].stages["generate"].manifest["inputs"]["generator"] == tuned["generator"] == "fake0.020"
    assert hashes(finished_rounds(home / "run")) == hashes(results)


@pytest.mark.slow
def test_the_page_of_a_run_fits_a_phone(home, fits_a_phone):
    start_run(home / "run", config_for(home, rounds=2), quiet)
    fits_a_phone(write_report(home / "run", home / "report.html"))


def test_guard_compares_in_pairs_and_rolls_back_what_got_worse(home):
    FakeGenerator(step=0.2).save(home / "weights")
    results = start_run(home / "run", config_for(home, rounds=2), quiet)
    guard = json.loads((results[0].stages["finetune"].folder / "guard.json").read_text())
    change = guard["metrics"]["physdiff_phys_err_mm"]["change"]
    assert guard["rolled_back"] is True
    assert change["ci95"][0] > 0.0
    assert guard["metrics"]["physdiff_float_mm"]["change"]["mean"] == pytest.approx(200.0, abs=10.0)
    assert len(guard["clips"]) == guard["prompts"] == 4
    assert not {row["prompt"] for row in guard["clips"]} & set(PROMPTS)
    assert results[1].stages["generate"].manifest["inputs"]["generator"] == FakeGenerator().hash()


def test_what_physics_made_of_another_prompt_is_not_learnt(home, monkeypatch):
    """The bodies here stand: the one asked to wait is learnt from, those asked to jump and to turn are not."""
    learnt, real = [], FakeGenerator.finetune

    def note(self, clips, *rest):
        learnt.extend(clips)
        return real(self, clips, *rest)

    monkeypatch.setattr(FakeGenerator, "finetune", note)
    prompts = ("a person waits.", "a person jumps up once.", "a person turns to the left.")
    result = start_run(home / "run", replace(config_for(home), prompts=prompts), quiet)[0]
    notes = result.stages["finetune"].manifest["notes"]
    assert result.counts["accepted"] == notes["accepted"] == 3
    assert [clip.texts for clip in learnt] == [(prompts[0],)]
    assert notes["learnt"] == 1
    only = start_run(home / "other", replace(config_for(home), prompts=prompts[1:]), quiet)[0]
    assert "does what its prompt says" in only.stages["finetune"].manifest["notes"]["skipped"]


def test_replay_is_described_motion_under_one_of_its_own_captions() -> None:
    whole = make_described(12, 3)
    replay = finetune.replayed(12, 3)
    assert [clip.positions.tobytes() for clip in replay] == [clip.positions.tobytes() for clip in whole]
    places = [clip.texts.index(*own.texts) for clip, own in zip(whole, replay, strict=True)]
    assert len(set(places)) > 1, "not always the first"


def test_replay_lasts_for_every_step_of_the_finetuning(home, monkeypatch):
    """As many clips as the steps draw, whatever few were accepted, and others in every round."""
    replayed, real = [], FakeGenerator.finetune
    monkeypatch.setattr(FakeGenerator, "finetune", lambda *args: replayed.append(args[2]) or real(*args))
    config = config_for(home, rounds=2, finetune=FinetuneConfig(steps=5, batch=4, replay_share=0.75))
    results = start_run(home / "run", config, quiet)
    ids = {clip.id for clips in replayed for clip in clips}
    assert [result.stages["finetune"].manifest["notes"]["replay"] for result in results] == [15, 15]
    assert len(ids) == 30
    assert {clip.provenance.notes["split"] for clips in replayed for clip in clips} == {"train"}


@pytest.mark.parametrize("place", STAGES)
@pytest.mark.parametrize("moment", ["begin", "end"])
def test_killed_at_a_stage_boundary_and_resumed(home, monkeypatch, place, moment, whole_hashes):
    config = config_for(home)
    projector, steps = Projector(), import_module(f"morphloop.refinement_loop.steps.{place}")
    real = steps.work
    monkeypatch.setattr(project_folder, "project_clips", projector)

    def dies(*args, **kwargs):
        if moment == "end":
            real(*args, **kwargs)
        raise KeyboardInterrupt

    monkeypatch.setattr(steps, "work", dies)
    with pytest.raises(KeyboardInterrupt):
        start_run(home / "killed", config, quiet)
    monkeypatch.setattr(steps, "work", real)
    before = read_ledger(home / "killed")
    resumed = resume_run(home / "killed", quiet)
    assert hashes(resumed) == whole_hashes
    assert len(projector.names) == len(set(projector.names)) == len(PROMPTS)
    finished = {row["stage"] for row in before if row["event"] == "finished"}
    again = [row["stage"] for row in read_ledger(home / "killed")[len(before) :] if row["event"] == "started"]
    assert not finished & set(again)
    assert len(again) == len(set(again))


def test_killed_in_the_middle_of_project_keeps_finished_clips(home, monkeypatch, whole_hashes):
    dying, healthy = Projector(dies_after=2), Projector()
    monkeypatch.setattr(project_folder, "project_clips", dying)
    with pytest.raises(KeyboardInterrupt):
        start_run(home / "killed", config_for(home), quiet)
    assert not (home / "killed" / "round_00" / "project").exists()
    monkeypatch.setattr(project_folder, "project_clips", healthy)
    resumed = resume_run(home / "killed", quiet)
    assert (len(dying.names), len(healthy.names)) == (2, 1)
    assert not set(dying.names) & set(healthy.names)
    assert hashes(resumed) == whole_hashes
    timing = (resumed[0].stages["project"].folder / "timing.jsonl").read_text().splitlines()
    assert [json.loads(row).get("clip") is not None for row in timing] == [True] * len(PROMPTS) + [False]


def test_fine_tuning_is_not_repeated_when_the_guard_was_killed(home, monkeypatch):
    trained = []
    real = FakeGenerator.finetune
    monkeypatch.setattr(FakeGenerator, "finetune", lambda self, *args: trained.append(1) or real(self, *args))
    compare = finetune.compare_generators

    def dies(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(finetune, "compare_generators", dies)
    with pytest.raises(KeyboardInterrupt):
        start_run(home / "run", config_for(home), quiet)
    monkeypatch.setattr(finetune, "compare_generators", compare)
    assert resume_run(home / "run", quiet)[0].stages["finetune"].manifest["notes"]["rolled_back"] is False
    assert len(trained) == 1


def test_a_finished_run_does_nothing_when_started_again(home, monkeypatch):
    config = config_for(home)
    start_run(home / "run", config, quiet)
    monkeypatch.setattr(project_folder, "project_clips", None)
    results = start_run(home / "run", config, quiet)
    assert all(done.reused for done in results[0].stages.values())
    more = replace(config, rounds=2)
    monkeypatch.setattr(project_folder, "project_clips", Projector())
    assert [done.reused for done in start_run(home / "run", more, quiet)[0].stages.values()] == [True] * len(STAGES)
    with pytest.raises(MotionError, match="another config"):
        start_run(home / "run", replace(config, seed=5), quiet)


def test_config_survives_the_disk(home):
    config = config_for(home, seed=3, seconds=(2.0, 5.0))
    start_run(home / "run", config, quiet)
    assert read_config(home / "run") == config


def test_a_folder_of_outputs_is_selected_and_not_fine_tuned(home):
    for clip in make_corpus(2, 5):
        save_clip(home / "outputs" / f"{clip.name}.npz", clip)
    (home / "outputs" / "broken.npz").write_bytes(b"PK")
    result = start_run(home / "run", LoopConfig(clips=str(home / "outputs")), quiet)[0]
    assert "cannot be fine-tuned" in result.stages["finetune"].manifest["notes"]["skipped"]
    assert result.counts["clips"] == 2
    assert list(result.stages["generate"].manifest["notes"]["failed"]) == [str(home / "outputs" / "broken.npz")]


def test_policy_is_updated_kept_and_handed_on(home, monkeypatch):
    class FakePolicy:
        def __init__(self, hash_):
            self.hash = hash_

        def save(self, path):
            path.write_text(self.hash)

    handed = []
    for module in (rounds, imitate):
        monkeypatch.setattr(module, "load_policy", lambda path: FakePolicy(Path(path).read_text()))
    report = {"before": {"success": 0.5}, "after": {"success": 0.75}}
    monkeypatch.setattr(
        imitate,
        "update_policy",
        lambda policy, clips, seed, how, folder, limit_s, conditioning: (FakePolicy(policy.hash + "+"), report),
    )
    projector = Projector()
    monkeypatch.setattr(
        project_folder,
        "project_clips",
        lambda clips, policy, *rest: handed.append(policy.hash) or projector(clips, policy, *rest),
    )
    (home / "policy").write_text("p")
    results = start_run(home / "run", config_for(home, policy=str(home / "policy"), rounds=2), quiet)
    assert handed == ["p+", "p++"]
    assert json.loads((results[1].stages["imitate"].folder / "update.json").read_text()) == report
    clip = load_clip(next((results[1].stages["project"].folder / "clips").glob("*.npz")))
    assert clip.provenance.models["policy"] == "p++"


def test_a_stage_that_is_added_is_an_entry_and_a_file(home, monkeypatch):
    """It is run once and kept, resumed, shown and held to what it was made from."""

    def work(state, folder, seed, tick):
        (folder / "count.txt").write_text(str(len(read_manifest(state.folder("select")))))
        return {"counted": "all"}

    steps = SimpleNamespace(settings=lambda state: {"rounds": state.config.rounds}, work=work)
    monkeypatch.setitem(sys.modules, "morphloop.refinement_loop.steps.count", steps)
    monkeypatch.setitem(STAGES, "count", Stage("count", ("motion",), {"selected": "select"}, ("generator",)))
    run = home / "run"
    (result,) = start_run(run, config_for(home), quiet)
    done = result.stages["count"]
    assert (done.folder / "count.txt").read_text() == str(len(PROMPTS))
    assert list(done.manifest["inputs"]) == ["selected", "generator"]
    assert start_run(run, config_for(home), quiet)[0].stages["count"].reused
    assert run_faults(run, finished_rounds(run)) == []
    assert "counted" in write_report(run, home / "report.html").read_text()
    told = json.loads((done.folder / "manifest.json").read_text())
    write_json(done.folder / "manifest.json", told | {"inputs": told["inputs"] | {"selected": "forged"}})
    faults = run_faults(run, finished_rounds(run))
    assert faults == ["round_00/count/manifest.json: was made from other selected than round_00/select holds"]


def test_lineage_walks_back_to_the_prompt(home):
    results = start_run(home / "run", config_for(home), quiet)
    path = sorted((results[0].stages["project"].folder / "clips").glob("*.npz"))[1]
    walked = lineage(path)
    assert [step.motion.provenance.stage for step in walked] == ["project", "generate"]
    assert walked[-1].motion.provenance.prompt == PROMPTS[1]
    assert walked[0].motion.provenance.round == 0
    assert walked[0].motion.provenance.simulator.startswith("mujoco")


def test_lineage_says_where_the_trail_ends(tmp_path):
    clip = make_corpus(1, 0)[0].with_provenance(parent="feedc0de")
    save_clip(tmp_path / "clip.npz", clip)
    assert [(step.id, step.path) for step in lineage(tmp_path / "clip.npz")][1] == ("feedc0de", None)


def test_what_physics_made_no_better_is_not_learnt(home, monkeypatch):
    """Of three clips one floats, and servos put it on the ground; the others are drawn with feet stiller than those of
    servos, so that learning them would make a clean generator worse."""
    learnt, real, made = [], FakeGenerator.finetune, FakeGenerator.generate

    def note(self, clips, *rest):
        learnt.extend(clips)
        return real(self, clips, *rest)

    def drawn(self, *args):
        first, *others = made(self, *args)
        return [first, *(clip.moved(np.array([0.0, 0.0, -self.lift])) for clip in others)]

    monkeypatch.setattr(FakeGenerator, "finetune", note)
    monkeypatch.setattr(FakeGenerator, "generate", drawn)
    result = start_run(home / "run", config_for(home, guard_prompts=0), quiet)[0]
    rows = read_manifest(result.stages["select"].folder)
    floated, *clean = [[row[side]["physdiff_phys_err_mm"] for side in ("before", "after")] for row in rows]
    assert floated[0] > 10.0 > floated[1]
    assert all(before < 2.0 and before < after for before, after in clean)
    notes = result.stages["finetune"].manifest["notes"]
    assert (notes["accepted"], notes["fitting"], notes["learnt"]) == (3, 3, 1)
    assert [clip.name for clip in learnt] == [rows[0]["name"]]
    page = write_report(home / "run", home / "page.html").read_text()
    assert "Learnt from 1 of 3 accepted clips: 0 do not do what their prompt says, 2 physics made no better." in page
    monkeypatch.setattr(FakeGenerator, "generate", lambda self, *args: drawn(self, *args)[1:] * 2)
    asked = replace(config_for(home, guard_prompts=0), prompts=PROMPTS[:2])
    none = start_run(home / "clean", asked, quiet)[0]
    assert "physics bettered none of the 2" in none.stages["finetune"].manifest["notes"]["skipped"]
    told = json.loads((home / "clean" / "config.json").read_text())
    told["selection"]["max_residual"] = 0.0
    write_json(home / "clean" / "config.json", told)
    again = resume_run(home / "clean", quiet)[0].stages["finetune"]
    assert again.manifest["notes"]["learnt"] == 2, "what leant on nothing is told by the bound of today, not of before"


def test_a_clip_that_leant_on_nothing_is_learnt_whatever_its_feet_do():
    """Physics took away what held it up; that is worth more than a foot that was stiller."""
    clip = make_corpus(1, 0)[0]
    row = {"name": clip.name, "before": {"physdiff_phys_err_mm": 0.1}, "after": {"physdiff_phys_err_mm": 0.3}}
    assert finetune.bettered([clip], [row], SelectionConfig()) == []
    leant = row | {"before": row["before"] | {"residual_wrench_ratio": 0.2}}
    assert finetune.bettered([clip], [leant], SelectionConfig()) == [clip]


def test_two_processes_do_not_share_a_run(home):
    with rounds.run_lock(home / "run"), pytest.raises(MotionError, match="another morphloop is at work"):
        start_run(home / "run", config_for(home), quiet)


def test_what_is_rescued_is_kept_and_shown_and_not_learnt(home, monkeypatch):
    """It is no longer what the prompt asked for."""

    def falls(clips, policy, config, on_done, *rest):
        for clip in clips:
            done = replayed(clip, policy)
            failed = clip.name.startswith("000") and {"success": 0.0}
            on_done(replace(done, reference=clip.slice(0, 30), tracking=done.tracking | failed) if failed else done)

    learnt, real = [], FakeGenerator.finetune
    monkeypatch.setattr(project_folder, "project_clips", falls)
    monkeypatch.setattr(FakeGenerator, "finetune", lambda self, *args: learnt.extend(args[0]) or real(self, *args))
    short = RescueConfig(shortest_s=0.3, error_m=9.0, head_drop_m=9.0)
    loose = SelectionConfig(max_part_error_m=9.0, max_slide_mm_s=1e6, max_unsupported_ratio=1.0, min_seconds=0.2)
    (result,) = start_run(home / "run", config_for(home, rescue=short, selection=loose), quiet)
    rows = {row["name"]: row for row in read_manifest(result.stages["select"].folder)}
    whole, part = list(rows)[:2]
    assert part == f"{whole}_rescued" == rows[whole]["rescued_as"]
    assert (rows[whole]["verdict"], rows[part]["verdict"], rows[part]["texts"]) == ("rejected", "rescued", [])
    counts = result.counts
    assert (counts["clips"], counts["accepted"], counts["rescued"], counts["rejected"]) == (3, 2, 1, 1)
    assert load_clip(result.stages["project"].folder / "clips" / f"{part}.npz").provenance.round == 0
    assert sorted(clip.name for clip in learnt) == sorted(n for n in rows if n not in (whole, part))
    summary = json.loads((result.stages["select"].folder / "summary.json").read_text())
    assert summary["rescued"]["before"]["float_mean_mm"]["mean"] == rows[part]["before"]["float_mean_mm"]
    assert run_faults(home / "run", [result]) == [line for line in verify(home / "run").faults if part in line] == []
    assert f"{whole}, 0.0 to " in write_report(home / "run", home / "r.html").read_text()
    none = start_run(home / "other", config_for(home, rescue=RescueConfig(keep=False), selection=loose), quiet)[0]
    assert [row["name"] for row in read_manifest(none.stages["select"].folder)] == [n for n in rows if n != part]


def test_a_fault_of_the_machine_costs_no_clip_its_verdict(home, monkeypatch, whole_hashes):
    class Faulty(Projector):
        def __call__(self, clips, policy, config, on_done, *rest):
            for clip in clips:
                fault = not self.names
                self.names.append(clip.name)
                done = replayed(clip, policy)
                on_done(
                    replace(done, clip=None, rollout=None, reason="killed by SIGKILL", fault=True) if fault else done
                )

    first, second = Faulty(), Projector()
    monkeypatch.setattr(project_folder, "project_clips", first)
    with pytest.raises(MachineFault, match=r"1 of 3 clips were not tried.*killed by SIGKILL.*loop resume"):
        start_run(home / "run", config_for(home), quiet)
    monkeypatch.setattr(project_folder, "project_clips", second)
    assert hashes(resume_run(home / "run", quiet)) == whole_hashes
    assert second.names == first.names[:1], "the others are kept"


@pytest.mark.parametrize("deed", ["replaced", "removed", "record"])
def test_what_was_changed_in_a_stage_that_was_killed_is_made_again(home, monkeypatch, whole_hashes, deed):
    monkeypatch.setattr(project_folder, "project_clips", dying := Projector(dies_after=2))
    with pytest.raises(KeyboardInterrupt):
        start_run(home / "killed", config_for(home), quiet)
    partial = home / "killed" / "round_00" / ".project.partial"
    one, two = (partial / "clips" / f"{name}.npz" for name in dying.names)
    if deed == "replaced":
        one.write_bytes(two.read_bytes())
    elif deed == "removed":
        one.unlink()
    else:
        (partial / "records" / f"{one.stem}.json").write_bytes(b"[" * 100_000)
    monkeypatch.setattr(project_folder, "project_clips", healthy := Projector())
    assert hashes(resume_run(home / "killed", quiet)) == whole_hashes
    assert len(healthy.names) == 2
    assert two.stem not in healthy.names, "what is whole is kept"


def test_what_a_kill_left_beside_the_rounds_is_swept_and_nothing_else(home):
    run = home / "run"
    (run / "guard").mkdir(parents=True)
    ours = [run / ".config.json.abc.tmp", run / ".report.html.x_1.tmp", run / "guard" / ".0f.json.abc.tmp"]
    theirs = [run / ".notes.txt.tmp", run / "config.json.tmp"]
    for path in (*ours, *theirs):
        path.write_text("half")
    rounds.sweep(run)
    assert [path for path in ours if path.exists()] == []
    assert all(path.exists() for path in theirs)


@pytest.mark.parametrize("name", ["ledger.jsonl", ".lock"])
def test_a_run_writes_through_no_link_of_its_own_files(home, name):
    outside = home / "outside"
    outside.write_text("kept")
    (home / "run").mkdir()
    (home / "run" / name).symlink_to(outside)
    with pytest.raises(MotionError, match=rf"{name}: is a link, expected a file of this run's own"):
        start_run(home / "run", config_for(home), quiet)
    assert outside.read_text() == "kept"


WRAP = """
import json, pathlib, shutil, sys
prompts, out, state, pool = map(pathlib.Path, sys.argv[1:])
rows = [json.loads(line) for line in prompts.read_text().splitlines()]
with (pool / "calls").open("a") as log:
    log.write(f"{len(rows)} {sorted(path.name for path in state.iterdir())}\\n")
for place, row in enumerate(rows):
    if row["prompt"] != "a person dances.":
        shutil.copy(pool / f"{place % 3}.npz", out / f"{row['id']}.npz")
"""
TUNE = """
import pathlib, sys
accepted, new_state = map(pathlib.Path, sys.argv[1:3])
if len(sys.argv) > 3:
    sys.exit("out of memory")
(new_state / f"tuned_on_{len(list(accepted.glob('*.npz')))}").write_text("")
"""


@pytest.fixture
def commanded(tmp_path, monkeypatch):
    """The config of a run whose generator is a command, and the lines that its calls leave."""
    monkeypatch.setattr(project_folder, "project_clips", Projector())
    for place, clip in enumerate(FakeGenerator().generate(PROMPTS, 4)):
        save_clip(tmp_path / "pool" / f"{place}.npz", replace(clip, texts=()))
    (tmp_path / "wrap.py").write_text(WRAP)
    (tmp_path / "tune.py").write_text(TUNE)
    program = shlex.quote(sys.executable)

    def config(more="", **changes):
        outside = OutsideConfig(
            finetune_command=f"{program} tune.py {{accepted}} {{new_state}} {more}", folder=str(tmp_path)
        )
        command = f"{program} wrap.py {{prompts}} {{out}} {{state}} {shlex.quote(str(tmp_path / 'pool'))}"
        return replace(config_for(tmp_path, **changes), generator=command, outside=outside)

    return SimpleNamespace(
        config=config, home=tmp_path, calls=lambda: (tmp_path / "pool" / "calls").read_text().splitlines()
    )


def test_a_command_goes_through_the_rounds_and_is_handed_its_state(commanded):
    run = commanded.home / "run"
    results = start_run(run, commanded.config(rounds=2, guard_prompts=0), quiet)
    for result in results:
        assert result.counts["clips"] == 2
        assert list(result.failed) == ["00001"]
        assert "no clip for prompt 00001 'a person dances.'" in result.failed["00001"]
    tuned = results[0].stages["finetune"].manifest["notes"]
    assert tuned["learnt"] > 0
    assert results[1].stages["generate"].manifest["inputs"]["generator"] == tuned["generator"]
    assert commanded.calls() == ["3 []", f"3 ['tuned_on_{tuned['learnt']}']"]
    assert [done.reused for result in resume_run(run, quiet) for done in result.stages.values()] == [True] * 14
    assert len(commanded.calls()) == 2
    assert run_faults(run, finished_rounds(run)) == []


def test_the_guard_asks_a_command_once(commanded):
    result = start_run(commanded.home / "run", commanded.config(), quiet)[0]
    notes = result.stages["finetune"].manifest["notes"]
    assert notes["rolled_back"] in (True, False)
    assert commanded.calls() == ["3 []", "8 []", f"8 ['tuned_on_{notes['learnt']}']"]


def test_a_fine_tuning_command_that_fails_leaves_the_generator_as_it_was(commanded):
    results = start_run(commanded.home / "run", commanded.config("fail", rounds=2), quiet)
    for result in results:
        skipped = result.stages["finetune"].manifest["notes"]["skipped"]
        assert skipped == "fine-tuning command: ended with exit code 1 (out of memory)"
    assert len({result.stages["generate"].manifest["inputs"]["generator"] for result in results}) == 1


def test_a_run_with_a_command_goes_on_where_it_was_killed(commanded, monkeypatch):
    monkeypatch.setattr(project_folder, "project_clips", Projector(dies_after=1))
    with pytest.raises(KeyboardInterrupt):
        start_run(commanded.home / "run", commanded.config(guard_prompts=0), quiet)
    monkeypatch.setattr(project_folder, "project_clips", Projector())
    monkeypatch.chdir("/")
    resume_run(commanded.home / "run", quiet)
    assert commanded.calls() == ["3 []"]
