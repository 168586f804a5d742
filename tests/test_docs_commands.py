"""Every command of the pages is carried out, or its page says why not.

A page is followed from its first block of `sh` to its last, in a folder that is empty but for what the page takes for
granted (`clips/`, `walk.bvh`, a run of the loop); that is made here, from the built-in corpus and the weights that
ship. Trainings, benches and runs get small sizes, and no worker processes. What cannot be run is marked in the line
before its block, as docs/contributing.md says.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from morphloop.cli import main
from morphloop.cli.console import SHIPPED_POLICY, shipped
from morphloop.cli.examples import EXAMPLES
from morphloop.motion import Clip, make_corpus, save_clip

from .test_datasets import humanml3d
from .test_robot_file import robot_text

ROOT = Path(__file__).resolve().parent.parent
PAGES = {
    str(path.relative_to(ROOT)): path.read_text(encoding="utf-8")
    for place in ("README.md", "docs/**/*.md", "assets/*/MODEL_CARD.md")
    for path in sorted(ROOT.glob(place))
}
BLOCK = re.compile(r"((?:^<!-- not run:[^\n]*-->\n)*)^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
MARK = re.compile(r"<!-- not run:(?: `([^`]+)`)? *(.*?) *-->")
"""The part of a line that is meant, nothing for the whole block; and why."""
REASONS = (
    "installs packages",
    "needs a GPU",
    "needs another's files",
    "needs the network",
    "needs a cluster",
    "serves until Ctrl-C",
    "starts Ray",
    "took hours",
)
"""What a reason begins with."""
EXAMPLES_NOT_RUN = {
    "morphloop models fetch smollm2": "needs the network",
    "morphloop evaluate clips/ --json report.json --engine ray": "starts Ray, as tests/test_ray.py does",
}
"""Examples of help, and why."""

SIZES = {
    "bench generator": "--prompts 2; --samples 1; --sets test captions; --no-speed",
    "bench imitator": "--workers 0",
    "evaluate": "--workers 0",
    "generate": "--seconds 1 1.5",
    "loop run": "--rounds 1; --seconds 1 1.5; --guard-prompts 2; --guard-samples 2; --finetune-steps 1;"
    "--imitate.demonstrations 0",
    "project": "--workers 0",
    "render": "--size 160 160",
    "train evaluator": "--source.clips 4; --plain 4; --steps 1; --batch 2",
    "train generator": "--source.clips 4; --steps 1; --batch 2",
    "train generator --preset m3gpt": "--source.clips 4",
    "train imitator": "--clips 1; --held-out 1; --envs 2; --steps 64; --variations 0;"
    "--distil.batches 1; --distil.steps 2; --distil.envs 4; --prior-steps 20; --worldmodel.window 8;"
    "--worldmodel.horizon 4; --worldmodel.warm-up 1; --worldmodel.model-batch 8; --worldmodel.policy-batch 8",
    "train tokenizer": "--source.clips 4; --steps 1; --batch 2; --held-out 1",
}
"""What a command is told besides: a flag that its line has not is added, a number that it has becomes this at most."""
CONSTANTS = {
    "morphloop.cli.demo.DEMO_PROMPTS": ("a person bows",),
    "morphloop.cli.demo.DEMO_GUARD_PROMPTS": 2,
    "morphloop.cli.demo.DEMO_GUARD_SAMPLES": 2,
    "morphloop.cli.demo.DEMO_FINETUNE_STEPS": 1,
    "morphloop.cli.demo.DEMO_DEMONSTRATIONS": 0,
    "morphloop.generator.bench.bench.RECONSTRUCTED": 2,
}
"""Sizes that no flag gives."""
ONE = ("--demonstrations", "--distil-updates")
"""Numbers that become 1 at most where a line has them, and are not added."""
WRITTEN = ("--out", "--json", "--html", "--share-html", "--markdown", "--onnx", "--drop", ">")
"""What stands before the name of something that is then there."""


def commands_of(text: str) -> Iterator[tuple[str, str]]:
    """Lines of a page's blocks, and why each is not run, nothing where it is."""
    for marks, block in BLOCK.findall(text):
        for line in lines_of(block):
            yield line, next((why for part, why in MARK.findall(marks) if part in line), "")


def lines_of(block: str) -> list[str]:
    return [line.strip() for line in block.replace("\\\n", " ").splitlines() if line.strip()]


def sized(said: list[str]) -> list[str]:
    """A command's words, with a small size."""
    said, line = [*said], " ".join(said)
    words = max((words for words in SIZES if f"{line} ".startswith(f"{words} ")), key=len, default=None)
    sizes = [size.split() for size in SIZES[words].split(";")] if words else []
    for flag, *values in [*sizes, *([flag, "1"] for flag in ONE if flag in said)]:
        if flag not in said:
            said += [flag, *values]
        elif len(values) == 1:
            at = said.index(flag) + 1
            said[at] = f"{min(float(said[at]), float(values[0])):g}"
    return said


def piece(action: str, frames: int) -> Clip:
    """A second and more of the corpus."""
    clip = next(clip for clip in make_corpus(64, 3, "test") if clip.provenance.notes["action"] == action)
    return clip.slice(20, 20 + frames)


class Pantry:
    """What pages take for granted, each made when the first of them asks for it."""

    def __init__(self, home: Path):
        self.home = home

    def __call__(self, name: str) -> Path:
        path = self.home / name
        if not path.exists():
            MAKERS[name](self, path)
        return path

    def bring(self, name: str, to: Path) -> None:
        """A copy of it."""
        found = self(name)
        (shutil.copytree if found.is_dir() else shutil.copy)(found, to)


Maker = Callable[[Pantry, Path], object]


def same_as(name: str) -> Maker:
    return lambda pantry, path: pantry.bring(name, path)


def text(content: str) -> Maker:
    return lambda _, path: path.write_text(content)


def part(action: str, frames: int) -> Maker:
    return lambda _, path: save_clip(path, piece(action, frames))


def made_by(line: str, file: str = "") -> Maker:
    """What a command makes as its --out, or one file in it; what its words name is of the pantry."""

    def make(pantry: Pantry, path: Path) -> None:
        out = path.with_name(f"{path.name}.out") if file else path
        said = [str(pantry(word)) if word in MAKERS else word for word in line.split()]
        assert main([*sized(said), "--out", str(out)]) == 0
        if file:
            shutil.copy(out / file, path)

    return make


def clips(_: Pantry, path: Path) -> None:
    for action in ("walk", "wave"):
        save_clip(path / f"{action}.npz", piece(action, 36))


def captioned(_: Pantry, path: Path) -> None:
    clips(_, path)
    for clip in path.glob("*.npz"):
        clip.with_suffix(".txt").write_text("a person moves\n")


def captions(_: Pantry, path: Path) -> None:
    path.write_text("".join(json.dumps({"name": name, "captions": ["she moves"]}) + "\n" for name in ("walk", "wave")))


def outputs(pantry: Pantry, path: Path) -> None:
    """Joints at 20 frames a second, as models of HumanML3D give them."""
    path.mkdir()
    pantry.bring("012314.npy", path / "walk.npy")
    (path / "walk.txt").write_text("a person walks\n")


def published(_: Pantry, path: Path) -> None:
    splits = {"000001": "train", "000002": "val", "000003": "train"}
    humanml3d(path, splits, dict.fromkeys(splits, "a person moves#a/DET person/NOUN move/VERB#0.0#0.0\n"))


def projected(pantry: Pantry, path: Path) -> None:
    """A folder of `project`, and the table beside it."""
    asked = ["project", str(pantry("clips")), "--out", str(path), "--json", f"{path}.json"]
    assert main(sized(asked)) == 0


def presets(_: Pantry, path: Path) -> None:
    """Those that ship, of one step each."""
    path.mkdir()
    for preset in sorted((ROOT / "cli" / "presets").glob("*.yaml")):
        few = re.sub(r"steps: \d+, minutes: null, batch: \d+", "steps: 1, minutes: null, batch: 2", preset.read_text())
        (path / preset.name).write_text(f"{few}held_out: 1\n")


def python_of(page: str, beginning: str) -> str:
    """A page's block of Python that begins so."""
    (found,) = re.findall(rf"```python\n({re.escape(beginning)}.*?)```", PAGES[page], re.DOTALL)
    return found


PROMPTS = "a person walks forward\na person bows\n"
MODEL = """
import numpy as np

class Model:
    @staticmethod
    def load(weights):
        return Model()

    def sample(self, prompt, frames):
        return np.load("012314.npy")[:frames]
"""
"""Somebody's repository, whose model walks whatever it is asked."""
TUNER = "import sys, pathlib\npathlib.Path(sys.argv[3], 'weights.pt').write_bytes(b'tuned')\n"
MAKERS: dict[str, Maker] = {
    "clips": clips,
    "old": clips,
    "raw": clips,
    "new": made_by("project clips"),
    "clip.npz": part("wave", 60),
    "walk.npz": part("walk", 36),
    "a.npz": part("walk", 12),
    "walk.bvh": made_by("convert walk.npz --to lafan-bvh", "walk.bvh"),
    "walk_lafan.bvh": same_as("walk.bvh"),
    "b.bvh": made_by("convert a.npz --to bvh", "a.bvh"),
    "video_walk_level1_filter_amass.npz": made_by("convert walk.npz --to amass", "walk.npz"),
    "012314.npy": made_by("convert walk.npz --to humanml3d-joints", "walk.npy"),
    "outputs": outputs,
    "mine": captioned,
    "bandai": captioned,
    "captions.jsonl": captions,
    "HumanML3D": published,
    "robot.xml": text(robot_text()),
    "robot_clips": made_by("retarget clips --body robot.xml"),
    "g1_clips": made_by("retarget clips --body g1"),
    "own": same_as("g1_clips"),
    "refs": same_as("g1_clips"),
    "physical": made_by("project clips"),
    "out": projected,
    "out.json": lambda pantry, _: pantry("out"),
    "prompts.txt": text(PROMPTS),
    "p.txt": text(PROMPTS),
    "my_run": made_by("loop run --prompts prompts.txt"),
    "demo_run": same_as("my_run"),
    "tok": made_by("train tokenizer"),
    "weights": lambda pantry, path: pantry.bring("tok", path / "tokenizer"),
    "policy.safetensors": lambda _, path: shutil.copy(shipped(SHIPPED_POLICY), path),
    "wrap.py": text(python_of("docs/outside_generators.md", '"""wrap.py')),
    "their_repository.py": text(MODEL),
    "tune.py": text(TUNER),
    "presets": presets,
}
PARTNERS = {"wrap.py": ("their_repository.py", "012314.npy")}
"""What lies beside an input, whether the line says so or not."""
OWN = {"docs/contributing.md": {"wrap.py": python_of("docs/contributing.md", "import json\nimport sys")}}
"""Files that a page itself shows."""


@pytest.fixture(scope="module")
def pantry(tmp_path_factory: pytest.TempPathFactory) -> Pantry:
    return Pantry(tmp_path_factory.mktemp("pantry"))


@pytest.fixture
def carry_out(
    pantry: Pantry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[[str], None]:
    """Runs a line where what it names lies, unless a line before it was to make that."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("MORPHLOOP_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    for name, size in CONSTANTS.items():
        monkeypatch.setattr(name, size)
    monkeypatch.setattr("morphloop.cli.preset_stages.PRESETS", pantry("presets"))

    def run(line: str) -> None:
        """AssertionError where its exit code is not 0 or what it was to write is not there."""
        said = shlex.split(line, comments=True)
        written = [said[at + 1] for at, word in enumerate(said[:-1]) if word in WRITTEN]
        named = {word.partition("/")[0] for word in " ".join(said).split() if word not in written}
        for name in sorted(named & {*MAKERS}):
            for needed in (name, *PARTNERS.get(name, ())):
                if not Path(needed).exists():
                    pantry.bring(needed, Path(needed))
        if said[0] == "morphloop":
            with contextlib.ExitStack() as stack:
                if ">" in said:
                    *said, _, file = said
                    stream = stack.enter_context(Path(file).expanduser().open("w"))
                    stack.enter_context(contextlib.redirect_stdout(stream))
                code = main(sized(said[1:]))
            assert code == 0, f"{line}: {capsys.readouterr().err[-2000:]}"
        else:
            subprocess.run(["bash", "-euc", line], check=True)
        missing = [name for name in written if name != "-" and not Path(name).expanduser().exists()]
        assert missing == [], line

    return run


def faults_of(told: str) -> list[str]:
    """What is wrong with a page's blocks and marks."""
    wrong, read = [], 0
    for above, block in BLOCK.findall(told):
        for meant, why in MARK.findall(above):
            read += 1
            if not why.startswith(REASONS):
                wrong.append(f"'{why}': expected a reason that begins as {', '.join(REASONS)}")
            if not any(meant in line for line in lines_of(block)):
                wrong.append(f"'{meant}': stands in no line of the block")
    if read < len(re.findall(r"^\s*<!-- not run", told, re.MULTILINE)):
        wrong.append("a mark that is not in the line before a block of sh")
    if re.search(r"^\s*```(bash|shell|console|zsh)$|^    morphloop ", told, re.MULTILINE):
        wrong.append("commands that are in no block of sh")
    if len(BLOCK.findall(told)) < len(re.findall(r"^\s*```sh$", told, re.MULTILINE)):
        wrong.append("a block of sh that does not begin at the margin")
    return wrong


@pytest.mark.parametrize("page", PAGES)
def test_what_is_not_run_says_why(page: str):
    assert faults_of(PAGES[page]) == []


@pytest.mark.parametrize(
    ("above", "fault"),
    [
        ("<!-- not run: needs a GPU -->\n", ""),
        ("<!-- not run: `fly` needs a GPU -->\n", ""),
        ("<!-- not run: -->\n", "expected a reason"),
        ("<!-- not run: is boring -->\n", "expected a reason"),
        ("<!-- not run: `walk` needs a GPU -->\n", "'walk': stands in no line"),
        ("<!-- not run: needs a GPU -->\n\n", "not in the line before"),
    ],
)
def test_marks_that_say_nothing_are_found(above: str, fault: str):
    found = faults_of(f"Fly:\n\n{above}```sh\nmorphloop fly\n```\n")
    assert [fault in told for told in found] == ([True] if fault else [])


def test_examples_that_are_not_run_say_why():
    assert all(why.startswith(REASONS) for why in EXAMPLES_NOT_RUN.values())
    assert {*EXAMPLES_NOT_RUN} <= {line for lines in EXAMPLES.values() for line in lines}


@pytest.mark.parametrize("page", [name for name, told in PAGES.items() if any(not why for _, why in commands_of(told))])
def test_the_commands_of_a_page_run(page: str, carry_out: Callable[[str], None]):
    for name, content in OWN.get(page, {}).items():
        Path(name).write_text(content)
    for line, why in commands_of(PAGES[page]):
        if not why:
            carry_out(line)


def test_the_examples_of_help_run(carry_out: Callable[[str], None]):
    """Those that stand on no page as well."""
    Path("~/.config/fish/completions").expanduser().mkdir(parents=True)
    on_pages = {" ".join(shlex.split(line, comments=True)) for told in PAGES.values() for line, _ in commands_of(told)}
    for lines in EXAMPLES.values():
        for line in lines:
            if line not in EXAMPLES_NOT_RUN and " ".join(shlex.split(line)) not in on_pages:
                carry_out(line)
