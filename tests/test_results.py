"""One answer to whether a result is still valid, and bytes that depend on neither the clock nor the threads."""

import json
from dataclasses import asdict, replace
from functools import partial

import pytest
import torch

from morphloop.base import MotionError
from morphloop.base import still_valid as results
from morphloop.base.still_valid import basis, check_same, difference, hash_code, result_key
from morphloop.base.threads import fixed_threads, held_threads
from morphloop.generator import FinetuneConfig, load_generator
from morphloop.imitator import IlqrConfig, ProjectionConfig, project_clips, update_policy
from morphloop.imitator.demonstrations.config import DemonstrationConfig, DistilConfig, UpdateConfig
from morphloop.motion import make_corpus
from morphloop.refinement_loop import LoopConfig, ProjectFolder, SelectionConfig, project_folder, start_run
from morphloop.refinement_loop.stages import hash_outputs
from morphloop.refinement_loop.steps import finetune, imitate
from morphloop.sim import default_body

QUICK = IlqrConfig(horizon=6, iterations=1, hard_iterations=1, dampings=(0.0,), retries=0)


@pytest.fixture
def house(tmp_path, monkeypatch):
    """A copy of what code hashes look at: a folder of code with data inside, and the gains beside."""
    for name, text in {"sim/a.py": "x", "sim/page.html": "y", "assets/balance/gains.json": "{}"}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(results, "HOUSE", tmp_path)
    hash_code.cache_clear()
    yield tmp_path
    hash_code.cache_clear()


@pytest.mark.parametrize("name", ["sim/a.py", "sim/page.html", "sim/new.py", "assets/balance/gains.json"])
def test_code_and_package_data_count(house, name):
    before = hash_code(("sim",))
    (house / name).write_text("changed")
    hash_code.cache_clear()
    assert hash_code(("sim",)) != before


@pytest.mark.parametrize("name", ["sim/__pycache__/a.pyc", "sim/.swp", "assets/generator/lm.safetensors", "cli/b.py"])
def test_what_makes_no_result_does_not_count(house, name):
    before = hash_code(("sim",))
    (house / name).parent.mkdir(parents=True, exist_ok=True)
    (house / name).write_text("changed")
    hash_code.cache_clear()
    assert hash_code(("sim",)) == before


def test_a_result_is_valid_while_nothing_that_it_rests_on_differs():
    made = basis(("motion",), {"clips": "a"}, {"seed": 1, "task": {"push": 0.1, "range": (1, 2)}})
    assert difference(json.loads(json.dumps(made)), made) is None
    for part, there, told in (
        ({"inputs": {"clips": "b"}}, made, "clips = b, asked for a"),
        ({"config": {"seed": 2, "task": {"push": 0.1, "range": [1, 2]}}}, made, "seed = 2, asked for 1"),
        ({"config": {"seed": 1, "task": {"push": 0.1}}}, made, "task.range = nothing, asked for [1, 2]"),
        ({"versions": made["versions"] | {"torch": "1"}}, made, f"versions.torch = 1, asked for {torch.__version__}"),
        ({"code": "0"}, made, f"code = 0, asked for {made['code']}"),
    ):
        had = made | part
        assert difference(had, there) == told
        assert result_key(had) != result_key(made)
        with pytest.raises(MotionError, match=r"here: holds a run with .*; expected the same, or another folder"):
            check_same("here", had, made, "a run")
    assert difference(made | {"config": made["config"] | {"seed": 9}}, made, free=("config.seed",)) is None
    with pytest.raises(MotionError, match="code = nothing"):
        check_same("here", ["junk"], made, "a run")


def test_a_projected_clip_is_not_valid_under_other_gains_or_threads(tmp_path, house):
    def key():
        folder = ProjectFolder(tmp_path, default_body())
        hash_code.cache_clear()
        return folder.key(clip)

    clip = make_corpus(1, 0)[0]
    before = key()
    with fixed_threads(2):
        assert key() != before
    assert key() == before
    (house / "assets" / "balance" / "gains.json").write_text("[]")
    assert key() != before


def test_threads_are_fixed_inside_and_given_back():
    before = torch.get_num_threads()
    with fixed_threads(3):
        assert (torch.get_num_threads(), held_threads()) == (3, 3)
        with fixed_threads():
            assert torch.get_num_threads() == 3
        with fixed_threads(1):
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 3
    assert torch.get_num_threads() == before
    with pytest.raises(KeyError), fixed_threads(2):
        raise KeyError
    assert (torch.get_num_threads(), held_threads()) == (before, 1)


@pytest.fixture
def at_threads():
    """Sets what a caller has, and what the environment might say; takes it back."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def test_a_fine_tuned_generator_does_not_depend_on_the_callers_threads(at_threads):
    generator, clips = load_generator("assets/generator"), make_corpus(4, 0)

    def tuned(threads):
        at_threads(threads)
        return generator.finetune(clips, [], FinetuneConfig(steps=3, batch=16)).hash()

    assert tuned(1) == tuned(2)


def outputs(run):
    """Hash of every file of a run's stages but the clock's, with the manifests."""
    found = {}
    for stage in sorted((run / "round_00").iterdir()):
        assert not stage.name.startswith("."), "nothing is left behind"
        found |= {f"{stage.name}/{name}": value for name, value in hash_outputs(stage).items()}
        found[f"{stage.name}/manifest.json"] = (stage / "manifest.json").read_bytes()
    return found


def test_the_same_round_at_one_and_two_threads_and_workers_has_the_same_bytes(tmp_path, monkeypatch, at_threads):
    small = UpdateConfig(
        demonstrations=2,
        expert=DemonstrationConfig(replace(QUICK, threads=1)),
        distil=DistilConfig(updates=2, envs=16, steps=10, batches=4, minibatch=256, memory=2000),
    )
    config = LoopConfig(
        generator="assets/generator",
        prompts=("a person waves.", "a person walks forward.", "a person bows."),
        seconds=(1.0, 1.0),
        policy="assets/imitator/policy.safetensors",
        imitate=small,
        finetune=FinetuneConfig(steps=2, batch=8),
        guard_prompts=2,
        guard_samples=2,
        projection=ProjectionConfig(ilqr=QUICK, max_slide_mm_s=0.0),
        selection=replace(SelectionConfig(), max_slide_mm_s=1e9),
    )
    runs = []
    for workers, threads in ((0, 2), (2, 1)):
        at_threads(threads)
        monkeypatch.setenv("OMP_NUM_THREADS", str(threads))
        monkeypatch.setattr(project_folder, "project_clips", lambda *asked, n=workers: project_clips(*asked[:-1], n))
        monkeypatch.setattr(imitate, "update_policy", partial(update_policy, workers=workers))
        monkeypatch.setattr(finetune, "bettered", lambda clips, *_: list(clips))  # clean clips of a second are not
        run = tmp_path / f"{workers}_{threads}"
        stages = start_run(run, config, lambda *told: None)[0].stages
        assert "generator" in stages["finetune"].manifest["notes"], "every stage has done its work"
        assert "policy" in stages["imitate"].manifest["notes"]
        runs.append(outputs(run))
    for other in runs[1:]:
        assert [name for name in runs[0] if other.get(name) != runs[0][name]] == []
        assert other.keys() == runs[0].keys()


@pytest.mark.parametrize("clock", ["wall_s", "seconds_spent", "spent_s"])
def test_no_output_that_is_hashed_holds_a_wall_time(tmp_path, clock):
    generator, clips = load_generator("assets/generator"), make_corpus(2, 0)
    tuned = generator.finetune(clips, [], FinetuneConfig(steps=1, batch=2))
    tuned.save(tmp_path / "g")
    assert clock not in (tmp_path / "g" / "config.json").read_text()
    assert clock not in json.dumps(asdict(tuned.report))
