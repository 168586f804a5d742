"""One configuration: what a command wrote beside its output makes the same output again, and what it is told by flag or
file reaches what uses it."""

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import yaml

from morphloop import imitator
from morphloop.base import MotionError
from morphloop.cli import COMMANDS, OnDemand, main, train_imitator
from morphloop.cli.bench_imitator import BenchImitator
from morphloop.cli.checks import check
from morphloop.cli.config import overlay, short_names, spelt_out
from morphloop.cli.evaluate import Evaluate
from morphloop.cli.loop_run import LoopRun
from morphloop.cli.project import Project
from morphloop.cli.train_generator import TrainTokenizer
from morphloop.cli.train_imitator import TrainImitator
from morphloop.generator import FinetuneConfig
from morphloop.imitator import ImitatorConfig, ProjectionConfig, UpdateConfig
from morphloop.imitator.projection import project as projecting
from morphloop.motion import make_corpus, read_manifest, save_clip
from morphloop.refinement_loop import LoopConfig, read_config

QUICK = (
    "--projection.ilqr.iterations",
    "1",
    "--projection.ilqr.hard-iterations",
    "1",
    "--projection.ilqr.retries",
    "0",
)


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    for clip in make_corpus(2, 5):
        save_clip(tmp_path / "clips" / f"{clip.name}.npz", replace(clip.slice(0, 8), texts=("a person moves.",)))
    return tmp_path / "clips"


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list:
    """Configurations that iLQR is called with."""
    seen, real = [], projecting.track_clips
    monkeypatch.setattr(
        projecting,
        "track_clips",
        lambda clips, body, config, workers: seen.append(config) or real(clips, body, config, 0),
    )
    return seen


def run(*args: object) -> int:
    return main([str(arg) for arg in args])


def parsed(monkeypatch: pytest.MonkeyPatch, command: type, words: tuple[str, ...], *args: object):
    """What a command is told by arguments."""
    seen = []
    monkeypatch.setattr(command, "run", lambda self: seen.append(self) or 0)
    assert run(*words, *args) == 0
    return seen[-1]


def outputs(folder: Path, *kinds: str) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for kind in kinds for p in sorted(folder.rglob(kind))}


def test_the_config_of_a_project_folder_makes_the_same_folder_again(tmp_path, clips, asked, capsys):
    one, two = tmp_path / "one", tmp_path / "two"
    flags = (
        "--policy",
        "none",
        "--projection.ilqr.horizon",
        "12",
        *QUICK,
        "--smooth",
        "--selection.min-seconds",
        "0.1",
    )
    assert run("project", clips, "--out", one, *flags) in (0, 1)
    assert run("project", clips, "--out", two, "--config", one / "config.json") in (0, 1)
    assert {(c.horizon, c.retries) for c in asked} == {(12, 0)}
    told = json.loads((one / "config.json").read_text())
    assert told["projection"]["conditioning"]["smooth"] is True
    assert told["selection"]["min_seconds"] == 0.1
    assert [row["key"] for row in read_manifest(one)] == [row["key"] for row in read_manifest(two)]
    assert outputs(one, "*.npz", "*.json", "manifest.jsonl") == outputs(two, "*.npz", "*.json", "manifest.jsonl")
    assert run("verify", two) == 0
    capsys.readouterr()


def test_what_loop_run_is_told_reaches_ilqr_and_its_config_makes_the_same_run_again(tmp_path, clips, asked, capsys):
    one, two, three = (tmp_path / name for name in ("one", "two", "three"))
    flags = ("--projection.ilqr.horizon", "12", *QUICK, "--selection.min-seconds", "0.1", "--no-rescue")
    assert run("loop", "run", "--clips", clips, "--policy", "none", "--out", one, *flags) in (0, 1)
    config = read_config(one)
    assert (config.projection.ilqr.horizon, config.selection.min_seconds, config.rescue.keep) == (12, 0.1, False)
    file = tmp_path / "c.yaml"
    ilqr = {"horizon": 12, "iterations": 1, "hard-iterations": 1, "retries": 0}
    told = {"clips": str(clips), "policy": "none", "projection": {"ilqr": ilqr}, "selection": {"min_seconds": 0.1}}
    file.write_text(yaml.safe_dump(told | {"rescue": False}))
    assert run("loop", "run", "--config", file, "--out", two) in (0, 1)
    assert run("loop", "run", "--config", one / "config.json", "--out", three) in (0, 1)
    assert len(asked) == 3
    assert {config.horizon for config in asked} == {12}
    for other in (two, three):
        assert (other / "config.json").read_bytes() == (one / "config.json").read_bytes()
        assert outputs(other, "*.npz", "manifest.json*") == outputs(one, "*.npz", "manifest.json*")
    capsys.readouterr()


def test_clips_of_a_generator_are_made_again_from_their_config(tmp_path, capsys):
    flags = ("--seconds", "1", "1", "--seed", "3", "--top-p", "0.8")
    assert run("generate", "a person waves.", "--out", tmp_path / "one", *flags) == 0
    assert run("generate", "--config", tmp_path / "one" / "generate.json", "--out", tmp_path / "two") == 0
    assert outputs(tmp_path / "one", "*") == outputs(tmp_path / "two", "*")
    assert run("evaluate", tmp_path / "one", "--json", tmp_path / "a.json", "--ground", "lowest", "--no-wrench") == 0
    assert run("evaluate", "--config", tmp_path / "a.json", "--json", tmp_path / "b.json") == 0
    first, second = (json.loads((tmp_path / f"{name}.json").read_text()) for name in "ab")
    assert (first["clips"], first["config"]) == (second["clips"], second["config"])
    assert first["config"]["ground"] == "lowest"
    assert first["failed"] == [], "the file of the configuration is no motion"
    capsys.readouterr()


def test_a_tokenizer_is_trained_again_from_its_config(tmp_path, capsys):
    flags = ("--source.clips", "4", "--streams", "2", "--codebook", "8", "--width", "8", "--steps", "2", "--batch", "2")
    assert run("train", "tokenizer", "--out", tmp_path / "one", *flags, "--depth", "1") == 0
    assert (
        run("train", "tokenizer", "--config", tmp_path / "one" / "train_tokenizer.json", "--out", tmp_path / "b") == 0
    )
    assert outputs(tmp_path / "one", "*") == outputs(tmp_path / "b", "*")
    capsys.readouterr()


def test_flat_names_of_a_file_and_nested_ones_are_one(tmp_path):
    flat, nested = tmp_path / "flat.yaml", tmp_path / "nested.yaml"
    for command, out, told, parts in (
        (LoopRun, "out: o\n", "finetune_steps: 7\nreplay-share: 0.1\nseconds: [2, 3]\nprompts: p.txt", None),
        (LoopRun, "out: o\n", "finetune_steps: 7", "finetune:\n  steps: 7"),
        (Project, "out: o\npaths: [x]\n", "projector: optimiser", "projection: {projector: optimiser}"),
        (Project, "out: o\npaths: [x]\n", "rescue: false\nsmooth: true", "rescue: {keep: false}\nsmooth: true"),
        (TrainTokenizer, "out: o\n", "streams: 2\nsteps: 5", "model: {streams: 2}\nbudget: {steps: 5}"),
        (TrainImitator, "out: o\n", "prior: vae\nvary: true", "prior: {kind: vae}\nvary_bodies: true"),
        (TrainImitator, "out: o\n", "slide_weight: 1", "task: {reward: {slide: 1.0}}"),
    ):
        flat.write_text(out + told)
        nested.write_text(out + (parts or told))
        assert overlay(command, flat) == overlay(command, nested)
    flat.write_text("out: o\nfinetune_steps: 7")
    assert overlay(LoopRun, flat).finetune == FinetuneConfig(steps=7)


@pytest.mark.parametrize(
    ("command", "text", "complaint"),
    [
        (LoopRun, "finetune_steps: 7\nfinetune: {steps: 8}", "steps is there twice"),
        (LoopRun, "finetune: {stops: 8}", "finetune: unknown stops, expected some of batch"),
        (LoopRun, "finetune: {steps: 0}", "finetune: fine-tuning: 0 steps"),
        (LoopRun, "projection: {ilqr: {horizon: far}}", "projection: ilqr: horizon is 'far', expected int"),
        (TrainTokenizer, "steps: 0", "training: steps is 0"),
    ],
)
def test_a_file_that_does_not_fit_is_one_line(tmp_path, command, text, complaint):
    (tmp_path / "c.yaml").write_text(text)
    with pytest.raises(MotionError, match=complaint) as caught:
        overlay(command, tmp_path / "c.yaml")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("loop", "run", "--out", "o", "--clips", "c", "--finetune-steps", "0"), "fine-tuning: 0 steps"),
        (("loop", "run", "--out", "o", "--clips", "c", "--finetune.seed", "3"), "give --seed"),
        (("loop", "run", "--out", "o", "--clips", "c", "--imitate.distil.seed", "3"), "give --seed"),
        (("loop", "run", "--out", "o", "--clips", "c", "--rounds", "0"), "rounds is 0"),
        (("train", "tokenizer", "--out", "o", "--steps", "0"), "steps is 0"),
        (("train", "imitator", "--out", "o", "--speed", "0", "1"), "speed is"),
        (("train", "imitator", "--out", "o", "--prior.seed", "3"), "give --seed"),
        (("project", "x", "--out", "o", "--projection.min-skill", "nan"), "--projection.min-skill is nan"),
        (("project", "x", "--out", "o", "--projector", "sampling"), "invalid choice"),
    ],
)
def test_what_a_configuration_refuses_is_said_in_its_words(args, said, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(*args) == 2
    lines = capsys.readouterr().err
    assert said in lines
    assert "Traceback" not in lines
    assert len(lines.strip().splitlines()) == 1 or "invalid choice" in lines
    assert list(tmp_path.iterdir()) == []


def leaves(node, words=()):
    for word, below in node.items():
        if isinstance(below, dict):
            yield from leaves(below, (*words, word))
        elif isinstance(below, OnDemand):
            yield (*words, word), below.load()


LEAVES = dict(leaves(COMMANDS))


@pytest.mark.parametrize("words", LEAVES, ids=" ".join)
def test_a_short_name_leads_to_a_field(words):
    for name, path in short_names(LEAVES[words]).items():
        part = LEAVES[words]
        args = spelt_out(part, [f"--{name.replace('_', '-')}=1", f"--no-{name}"])
        assert args[0] == f"--{path.replace('_', '-')}=1"
        assert path.rpartition(".")[2].replace("_", "-") in args[1]
        assert ".no-" in args[1] or args[1].startswith("--no-")


FORMER = [
    (TrainImitator, {"tapes": 5}, {"demonstrations": 5}),
    (TrainImitator, {"tape_minutes": 2.0}, {"demonstration_minutes": 2.0}),
    (TrainImitator, {"slide_price": 0.7}, {"task.reward.slide": 0.7}),
    (TrainImitator, {"conditioning.shift_price": 0.1}, {"conditioning.shift_weight": 0.1}),
    (Project, {"projector": "refiner"}, {"projector": "optimiser"}),
    (Project, {"projection.projector": "refiner"}, {"projection.projector": "optimiser"}),
    (LoopRun, {"imitate_updates": 3}, {"imitate.distil.updates": 3}),
    (LoopRun, {"imitate_demonstrations": 4}, {"imitate.demonstrations": 4}),
    (BenchImitator, {"refiner_seconds": 2.0}, {"optimiser_seconds": 2.0}),
]
"""What a command was told before, and what it is told today."""


def nested(flat: dict) -> dict:
    tree: dict = {}
    for path, value in flat.items():
        *above, last = path.split(".")
        place = tree
        for name in above:
            place = place.setdefault(name, {})
        place[last] = value
    return tree


@pytest.mark.parametrize(
    ("command", "old", "new"), FORMER, ids=lambda value: next(iter(value), "") if isinstance(value, dict) else ""
)
def test_an_old_name_gives_what_its_new_one_gives(command, old, new, tmp_path, monkeypatch):
    words, more = next(words for words, leaf in LEAVES.items() if leaf is command), ("x",) if command is Project else ()
    made = []
    for flags in (old, new):
        file = tmp_path / "c.yaml"
        file.write_text(yaml.safe_dump(nested(flags)))
        for equals in (False, True):
            told = [(f"--{name.replace('_', '-')}", str(value)) for name, value in flags.items()]
            args = ["=".join(pair) for pair in told] if equals else [part for pair in told for part in pair]
            made.append(parsed(monkeypatch, command, words, *more, "--out", tmp_path / "o", *args))
        made.append(parsed(monkeypatch, command, words, *more, "--out", tmp_path / "o", "--config", file))
    assert all(each == made[0] for each in made)
    assert made[0] != parsed(monkeypatch, command, words, *more, "--out", tmp_path / "o")


def test_an_option_by_both_of_its_names_is_one_line(tmp_path):
    (tmp_path / "c.yaml").write_text("tapes: 5\ndemonstrations: 6")
    with pytest.raises(MotionError, match=r"c.yaml: tapes: demonstrations is there twice"):
        overlay(TrainImitator, tmp_path / "c.yaml")


def test_the_config_of_an_older_folder_is_taken_as_far_as_it_is_read(tmp_path):
    """Of a run, and of a folder of `project` from when all that a clip rests on stood side by side."""
    gone = {"refiner": "ilqr", "guided": True, "seed": 0, "sampling": {"samples": 32}, "min_skill": 0.4}
    file, started = tmp_path / "config.json", LoopConfig(clips="c", policy="p.safetensors")
    file.write_text(json.dumps(asdict(started) | {"projection": gone, "finetune": {"kl_weight": 0.0}}))
    loop = replace(overlay(LoopRun, file), out=tmp_path)
    assert read_config(tmp_path) == replace(started, projection=ProjectionConfig(min_skill=0.4))
    assert (loop.projection, loop.clips, loop.policy) == (ProjectionConfig(min_skill=0.4), Path("c"), "p.safetensors")
    side = {"models": {}, "body": "4f2a", "threads": 1, "code": "9c", "versions": {"numpy": "2"}}
    file.write_text(json.dumps({"projection": gone, "selection": {"min_seconds": 0.1}, "rescue": None} | side))
    project = overlay(Project, file)
    assert (project.projection, project.selection.min_seconds) == (ProjectionConfig(min_skill=0.4), 0.1)
    assert (project.rescue.keep, project.body) == (False, None)
    file.write_text(json.dumps({"projection": gone | {"refiner": "sampling"}, "selection": {}, "rescue": None} | side))
    with pytest.raises(MotionError, match=r"projection: unknown guided, refiner"):
        overlay(Project, file)


def test_what_teaches_the_policy_in_a_round_is_reached_by_flag(monkeypatch, tmp_path):
    flags = (
        "--imitate.distil.learning-rate",
        "1e-4",
        "--imitate.expert.ilqr.horizon",
        "12",
        "--imitate.recording",
        "0.3",
    )
    told = parsed(monkeypatch, LoopRun, ("loop", "run"), "--out", tmp_path / "o", *flags).imitate
    assert (told.distil.learning_rate, told.expert.ilqr.horizon, told.recording) == (1e-4, 12, 0.3)
    assert told.distil.envs == UpdateConfig().distil.envs


def test_the_defaults_pass_the_checks_of_a_command(tmp_path, monkeypatch):
    train = ("train", "imitator")
    told = parsed(
        monkeypatch, TrainImitator, train, "--out", tmp_path / "o", "--demonstrations", "2", "--distil-updates", "3"
    )
    check(told)
    assert (told.demonstrations, told.distil.updates) == (2, 3)
    made = told._config()
    assert made == ImitatorConfig()
    more = ("--minutes", "2", "--learning-rate", "1e-4", "--no-failure-weighting", "--vary", "--speed", "0.9", "1.1")
    made = parsed(
        monkeypatch, TrainImitator, train, "--out", tmp_path / "o", *more, "--prior", "vae", "--seed", "4"
    )._config()
    assert (made.limit_s, made.ppo.learning_rate, made.rsl.learning_rate) == (120.0, 1e-4, 1e-4)
    assert (made.task.start_floor, made.task.speed, made.task.push) == (1.0, (0.9, 1.1), 0.15)
    assert (made.prior.kind, made.prior.seed, made.vary.mass) == ("vae", 4, train_imitator.VARIED["mass"])


def test_an_imitator_is_asked_for_again_from_its_config(tmp_path, monkeypatch):
    words, seen = ("train", "imitator"), []
    monkeypatch.setattr(imitator, "train_imitator", lambda clips, held, out, config, *rest: seen.append(config))
    monkeypatch.setattr(imitator, "hardest_segments", lambda out: [])
    monkeypatch.setattr(imitator, "load_policy", lambda path, body: train_imitator)
    monkeypatch.setattr(train_imitator, "hash", "h", raising=False)
    flags = (
        "--clips",
        "2",
        "--held-out",
        "0",
        "--envs",
        "4",
        "--ppo.gamma",
        "0.5",
        "--variations",
        "0",
        "--slide-weight",
        "1",
    )
    assert run(*words, "--out", tmp_path / "one", *flags) == 0
    assert run(*words, "--out", tmp_path / "two", "--config", tmp_path / "one" / "train_imitator.json") == 0
    assert seen[0] == seen[1]
    assert (seen[0].ppo.gamma, seen[0].task.reward.slide, seen[0].envs) == (0.5, 1.0, 4)
    assert outputs(tmp_path / "one", "*.json") == outputs(tmp_path / "two", "*.json")


def test_evaluate_is_its_configuration(tmp_path, monkeypatch):
    told = parsed(monkeypatch, Evaluate, ("evaluate",), "x", "--ground", "robust", "--no-wrench", "--workers", "0")
    assert (told.ground, told.wrench, told.workers, told.paths) == ("robust", False, 0, (Path("x"),))
