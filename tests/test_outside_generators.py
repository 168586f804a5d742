"""A command or a package as a generator: what came counts, what did not is named, and a run goes on."""

from __future__ import annotations

import json
import os
import shlex
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import morphloop.generator.outside as outside_module
from morphloop.base import MotionError
from morphloop.cli import main
from morphloop.generator import (
    CommandFailed,
    CommandGenerator,
    FinetuneConfig,
    Generator,
    OutsideConfig,
    PackageGenerator,
    load_generator,
    load_tuned,
)
from morphloop.motion import Clip, find_motions, make_corpus, read_manifest, read_motions, save_clip
from morphloop.motion.config import ReadingConfig

WRAP = '''
"""Somebody's model: what a prompt says decides how it fails."""
import json, os, shutil, subprocess, sys, time
from pathlib import Path

prompts, out, pool = (Path(word) for word in sys.argv[1:4])
state = Path(sys.argv[4]) / "tuned.txt" if len(sys.argv) > 4 else None
rows = [json.loads(line) for line in prompts.read_text(encoding="utf-8").splitlines()]
with (pool / "calls.jsonl").open("a") as log:
    log.write(json.dumps({"rows": rows, "cwd": os.getcwd(), "state": state and state.exists()}) + "\\n")
for k, row in enumerate(rows):
    if row["prompt"] == "missing":
        continue
    if row["prompt"] == "unreadable":
        (out / f"{row['id']}.npz").write_bytes(b"PK no zip")
    elif row["prompt"] == "stranger":
        shutil.copy(pool / "0.npz", out / "who.npz")
    elif row["prompt"] == "crash":
        print("loading", file=sys.stderr)
        print("RuntimeError: CUDA \\x1b[2J out of memory", file=sys.stderr)
        sys.exit(3)
    elif row["prompt"] == "sleep":
        print(subprocess.Popen(["sleep", "60"]).pid, file=(pool / "pid").open("w"), flush=True)
        time.sleep(60)
    else:
        shutil.copy(pool / f"{k % 3}.npz", out / f"{row['id']}.npz")
'''
TUNE = """
import json, sys
from pathlib import Path

accepted, state, new = (Path(word) for word in sys.argv[1:4])
rows = [json.loads(line) for line in (accepted / "clips.jsonl").read_text().splitlines()]
assert all((accepted / row["file"]).is_file() for row in rows)
config = json.loads((accepted / "finetune.json").read_text())
before = (state / "tuned.txt").read_text() if (state / "tuned.txt").exists() else ""
if config["steps"] == 13:
    sys.exit("unlucky")
if config["steps"] != 14:
    (new / "tuned.txt").write_text(before + f"{len(rows)} clips, {config['steps']} steps;")
"""


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Clips that the fake model hands out."""
    folder = tmp_path_factory.mktemp("pool")
    for place, clip in enumerate(make_corpus(3, 5)):
        save_clip(folder / f"{place}.npz", replace(clip, texts=()))
    return folder


@pytest.fixture
def home(pool: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the scripts lie and commands are called."""
    (tmp_path / "wrap.py").write_text(WRAP)
    (tmp_path / "tune.py").write_text(TUNE)
    (pool / "calls.jsonl").unlink(missing_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


PYTHON = shlex.quote(sys.executable)


def wrap(pool: Path, more: str = "") -> str:
    return f"{PYTHON} wrap.py {{prompts}} {{out}} {shlex.quote(str(pool))} {more}".strip()


def tunable(pool: Path) -> CommandGenerator:
    tune = f"{PYTHON} tune.py {{accepted}} {{state}} {{new_state}}"
    return CommandGenerator(wrap(pool, "{state}"), OutsideConfig(finetune_command=tune))


def calls(pool: Path) -> list[dict]:
    return [json.loads(line) for line in (pool / "calls.jsonl").read_text().splitlines()]


def test_a_command_is_a_generator(home: Path, pool: Path) -> None:
    generator = load_generator(wrap(pool))
    assert isinstance(generator, CommandGenerator)
    assert isinstance(generator, Generator)
    assert not generator.can_finetune
    prompts = ["a person walks", "läuft „schnell“", "a person walks"]
    clips = generator.generate(prompts, seed=7, seconds=(1.0, 2.0))
    assert generator.failed == {}
    assert [clip.texts for clip in clips] == [(prompt,) for prompt in prompts]
    assert [clip.provenance.prompt for clip in clips] == prompts
    assert all(clip.provenance.models == {"generator": generator.hash()} for clip in clips)
    assert all(clip.provenance.stage == "generate" and clip.provenance.seed == 7 for clip in clips)
    (call,) = calls(pool)
    assert call["cwd"] == str(home)
    assert [row["prompt"] for row in call["rows"]] == prompts
    assert [row["seconds"] for row in call["rows"]] == [[1.0, 2.0]] * 3
    seeds = [row["seed"] for row in call["rows"]]
    assert len(set(seeds)) == 3
    generator.generate(prompts, seed=7)
    assert [row["seed"] for row in calls(pool)[1]["rows"]] == seeds
    generator.generate(prompts, seed=8)
    assert [row["seed"] for row in calls(pool)[2]["rows"]] != seeds


def test_what_came_counts_and_the_rest_is_named(home: Path, pool: Path) -> None:
    generator = load_generator(wrap(pool))
    prompts = ["a person walks", "missing", "unreadable", "stranger", "a person jumps"]
    clips = generator.generate(prompts, seed=0)
    assert [clip.provenance.prompt for clip in clips] == [prompts[0], prompts[4]]
    assert set(generator.failed) == {"00001", "00002", "00003", "00002.npz", "who.npz"}  # type: ignore[union-attr]
    assert "no clip for prompt 00001 'missing'" in generator.failed["00001"]  # type: ignore[union-attr]
    assert "who.npz: expected the id or the caption" in generator.failed["who.npz"]  # type: ignore[union-attr]
    unreadable = generator.failed["00002.npz"]  # type: ignore[union-attr]
    assert "00002.npz" in unreadable
    assert "morphloop-generator-" not in unreadable, "the folder is gone by then"
    generator.generate(prompts[:1], seed=0)
    assert generator.failed == {}  # type: ignore[union-attr]


def test_a_crash_keeps_what_was_there_and_says_its_last_line(home: Path, pool: Path) -> None:
    generator = load_generator(wrap(pool))
    clips = generator.generate(["a person walks", "crash", "a person jumps"], seed=0)
    assert [clip.provenance.prompt for clip in clips] == ["a person walks"]
    why = generator.failed["command"]  # type: ignore[union-attr]
    assert why == r"generator command: ended with exit code 3 (RuntimeError: CUDA \x1b[2J out of memory)"
    with pytest.raises(MotionError, match=r"no clip of the generator can be used .*exit code 3"):
        generator.generate(["crash"], seed=0)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def test_a_timeout_ends_all_that_was_started(home: Path, pool: Path) -> None:
    generator = load_generator(wrap(pool), outside=OutsideConfig(timeout_s=8.0))
    clips = generator.generate(["a person walks", "sleep", "a person jumps"], seed=0)
    assert [clip.provenance.prompt for clip in clips] == ["a person walks"]
    assert generator.failed["command"] == "generator command: took over 8 s and was stopped"  # type: ignore[union-attr]
    child = int((pool / "pid").read_text())
    until = time.monotonic() + 10
    while alive(child) and time.monotonic() < until:
        time.sleep(0.05)
    assert not alive(child)


def test_many_missing_are_counted(home: Path, pool: Path) -> None:
    generator = load_generator(wrap(pool))
    generator.generate(["a person walks", *["missing"] * 30], seed=0)
    assert generator.failed["others"] == "generator command: no clip for 10 prompts more"  # type: ignore[union-attr]


def test_layouts_without_a_rate_or_with_many_motions_are_taken(home: Path, pool: Path) -> None:
    joints = np.stack([clip.positions for clip in (c.slice(0, 40) for c in make_corpus(2, 3))])[:, :, :22]
    np.save(home / "joints.npy", joints[0][..., [1, 2, 0]])
    script = "import json, shutil, sys; row = json.loads(open(sys.argv[1]).readline())\n"
    script += "shutil.copy('joints.npy', f\"{sys.argv[2]}/{row['id']}.npy\")\n"
    (home / "copy.py").write_text(script)
    generator = load_generator(f"{PYTHON} copy.py {{prompts}} {{out}}", ReadingConfig(fps=20.0))
    (clip,) = generator.generate(["a person walks"], seed=0)
    assert clip.fps == 20.0


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("no-such-program {prompts} {out}", "no program 'no-such-program' here"),
        (f"{PYTHON} wrap.py {{prompts}}", "has no {out}"),
        (f"{PYTHON} 'wrap.py {{prompts}} {{out}}", "No closing quotation"),
    ],
)
def test_a_command_that_cannot_be_run_is_one_line(command: str, words: str, home: Path) -> None:
    with pytest.raises(MotionError, match=words.replace("{", r"\{")) as caught:
        load_generator(command)
    assert "\n" not in str(caught.value)


def test_a_fine_tuning_needs_its_marks(home: Path, pool: Path) -> None:
    with pytest.raises(MotionError, match=r"--finetune-command: has no \{new_state\}"):
        CommandGenerator(wrap(pool, "{state}"), OutsideConfig(finetune_command=f"{PYTHON} tune.py {{accepted}}"))
    with pytest.raises(MotionError, match=r"--generator: has no \{state\}"):
        CommandGenerator(
            wrap(pool), OutsideConfig(finetune_command=f"{PYTHON} tune.py {{accepted}} {{state}} {{new_state}}")
        )
    with pytest.raises(MotionError, match="timeout_s is 0"):
        OutsideConfig(timeout_s=0)


def captioned(count: int) -> list[Clip]:
    return make_corpus(count, 9)


def test_fine_tuning_leaves_a_state_for_the_next(home: Path, pool: Path) -> None:
    first = tunable(pool)
    second = first.finetune(captioned(2), [], FinetuneConfig(steps=5))
    third = second.finetune(captioned(3), [], FinetuneConfig(steps=6))
    assert len({first.hash(), second.hash(), third.hash()}) == 3
    saved = third.save(home / "tuned")
    assert (saved / "state" / "tuned.txt").read_text() == "2 clips, 5 steps;3 clips, 6 steps;"
    again = load_tuned(saved, first)
    assert again.hash() == third.hash()
    first.generate(["a person walks"], seed=0)
    again.generate(["a person walks"], seed=0)
    assert [call["state"] for call in calls(pool)] == [False, True]
    with pytest.raises(MotionError, match="the state of a command, expected the command, and"):
        load_generator(saved)


@pytest.mark.parametrize(("steps", "words"), [(13, "ended with exit code 1 .unlucky"), (14, "left nothing in")])
def test_a_fine_tuning_that_comes_to_nothing_is_named(steps: int, words: str, home: Path, pool: Path) -> None:
    with pytest.raises(CommandFailed, match=f"fine-tuning command: {words}"):
        tunable(pool).finetune(captioned(1), [], FinetuneConfig(steps=steps))


def test_replay_is_written_where_it_is_asked_for(home: Path, pool: Path) -> None:
    (home / "list.py").write_text(
        "import pathlib, sys\nout = pathlib.Path(sys.argv[3]) / 'files'\n"
        "out.write_text(' '.join(str(len(list(pathlib.Path(p).glob('*.npz')))) for p in sys.argv[1:3]))\n"
    )
    tune = f"{PYTHON} list.py {{accepted}} {{replay}} {{new_state}}"
    generator = CommandGenerator(wrap(pool, "{state}"), OutsideConfig(finetune_command=tune))
    tuned = generator.finetune(captioned(1), captioned(2))
    assert (Path(str(tuned.outside.state)) / "files").read_text() == "1 2"


def test_the_hash_is_of_words_files_version_and_state(home: Path, pool: Path) -> None:
    first = load_generator(wrap(pool)).hash()
    assert load_generator(wrap(pool)).hash() == first
    assert load_generator(wrap(pool, "--more")).hash() != first
    assert load_generator(wrap(pool), outside=OutsideConfig(version="2")).hash() != first
    (home / "wrap.py").write_text(WRAP + "# changed\n")
    assert load_generator(wrap(pool)).hash() != first


def test_generate_names_what_is_missing_and_writes_the_rest(home: Path, pool: Path, capsys) -> None:
    args = ["generate", "a person walks", "missing", "--generator", wrap(pool), "--out", "made"]
    assert main(args) == 2
    assert "morphloop: generator command: no clip for prompt 00001 'missing'" in capsys.readouterr().err
    assert [row["prompt"] for row in read_manifest(home / "made")] == ["a person walks"]
    motions = [read() for path in find_motions(home / "made") for _, read in read_motions(path)]
    assert [clip.texts for clip in motions] == [("a person walks",)]
    assert (
        main(["generate", "a person walks", "--generator", wrap(pool), "--out", "made2", "--temperature", "0.5"]) == 2
    )
    assert "is not sampled" in capsys.readouterr().err
    assert main(["generate", "--config", "made/generate.json", "--out", "made3"]) == 2
    assert len(calls(pool)) == 2


class Theirs:
    """A package's own generator."""

    can_finetune, report = True, None

    def __init__(self, size: str | None = None) -> None:
        self.size = (Path(size) / "size").read_text() if size and Path(size).is_dir() else size

    def generate(self, prompts, seed, seconds=(3.0, 4.0)):
        if "explode" in prompts:
            raise RuntimeError("CUDA error\nline two")
        clips = make_corpus(len(prompts), seed)
        return [None if prompt == "missing" else clip for clip, prompt in zip(clips, prompts, strict=True)]

    def finetune(self, accepted, replay, config=None):
        return Theirs(f"{self.size} tuned on {len(accepted)}")

    def hash(self):
        return f"theirs {self.size}"

    def save(self, folder):
        Path(folder).mkdir(parents=True)
        (Path(folder) / "size").write_text(str(self.size))
        return Path(folder)


class Entry:
    """An installed entry point."""

    dist = None

    def __init__(self, name: str, load: object) -> None:
        self.name, self._load = name, load

    def load(self) -> object:
        return self._load


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    entries = [Entry("theirs", Theirs), Entry("broken", lambda argument: 1 / 0), Entry("other", lambda argument: 3)]
    monkeypatch.setattr(outside_module, "offered", lambda group: {entry.name: entry for entry in entries})


@pytest.mark.usefixtures("installed")
def test_a_package_offers_a_generator_by_name(tmp_path: Path) -> None:
    generator = load_generator("theirs:large")
    assert isinstance(generator, PackageGenerator)
    assert isinstance(generator, Generator)
    clips = generator.generate(["a person walks", "missing"], seed=3)
    assert [clip.provenance.prompt for clip in clips] == ["a person walks"]
    assert list(generator.failed) == ["00001"]
    assert clips[0].provenance.models == {"generator": generator.hash()}
    tuned = generator.finetune(clips, [])
    assert tuned.hash() != generator.hash()
    again = load_tuned(tuned.save(tmp_path / "tuned"), generator)
    assert again.hash() == tuned.hash()
    assert load_generator("theirs").hash() != generator.hash()


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("broken", "generator 'broken': ZeroDivisionError"),
        ("other", "generator 'other': is a int, expected morphloop's Generator protocol"),
        ("nobody", "nobody: no such file or folder"),
    ],
)
def test_a_package_that_does_not_work_is_one_line(name: str, words: str) -> None:
    with pytest.raises(MotionError, match=words):
        load_generator(name)


@pytest.mark.usefixtures("installed")
def test_what_a_package_raises_is_one_line() -> None:
    with pytest.raises(MotionError, match=r"generator 'theirs': RuntimeError .CUDA error line two") as caught:
        load_generator("theirs").generate(["explode"], seed=0)
    assert "\n" not in str(caught.value)
