"""Flags do what help and pages say: every flag that is documented is known, and its help says what giving it does."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from morphloop.cli import COMMANDS, OnDemand, doctor, main

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
FLAG = re.compile(r"(?<![-\w])--[a-z][a-z0-9-]*")
OTHERS = {"--config", "--help", "--version"}
"""Flags that `main` takes itself."""
OTHER_PROGRAMS = ("torchrun", "tensorboard", "PIP_ARGS", "benchmarks/")


def leaves(node, words=()):
    for word, below in node.items():
        if isinstance(below, dict):
            yield from leaves(below, (*words, word))
        else:
            yield (*words, word), below.load() if isinstance(below, OnDemand) else below


LEAVES = dict(leaves(COMMANDS))


def help_of(words, capsys):
    assert main([*words, "--help"]) == 0
    return capsys.readouterr().out


def test_help_and_usage_errors_of_every_command_load_nothing_heavy(tmp_path):
    """A command is the nested configuration of what it calls; reading that took seconds, for torch and MuJoCo."""
    (tmp_path / "c.yaml").write_text("no_such_name: 1")
    code = f"""
import sys
from morphloop.cli import main
heavy = {{"torch", "mujoco", "transformers", "gymnasium", "stable_baselines3", "matplotlib", "scipy"}}
for words in {[list(words) for words in LEAVES]}:
    for more, code in (["--help"], 0), (["--no-such-flag"], 2), (["--config", "c.yaml"], 2):
        assert main(words + more) == code, (words, more)
        assert not heavy & sys.modules.keys(), (words, more, heavy & sys.modules.keys())
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr


def spans(text):
    """Pieces of a page that hold code: indented lines, fenced lines and what stands between backticks."""
    fenced = False
    for line in text.splitlines():
        if line.startswith("```"):
            fenced = not fenced
        elif fenced or line.startswith("    "):
            yield line
        else:
            yield from re.findall(r"`([^`]+)`", line)


def test_every_documented_flag_is_one_of_its_command(capsys):
    known = {words: set(FLAG.findall(help_of(words, capsys))) | OTHERS for words in LEAVES}
    unknown = []
    for page in PAGES:
        text = page.read_text()
        scripts = [ROOT / name for name in re.findall(r"benchmarks/[\w/]+\.py", text)]
        of_scripts = {flag for script in scripts for flag in FLAG.findall(script.read_text())}
        for span in spans(text):
            said = re.search(r"morphloop ([a-z]+)(?: ([a-z]+))?", span)
            if said is None and any(program in span for program in OTHER_PROGRAMS):
                continue
            words = next((w for w in ((said[1], said[2]), (said[1],)) if w in known), None) if said else None
            flags = known[words] if words else of_scripts.union(*known.values())
            span = span[span.index("morphloop") :] if said else span
            unknown += [f"{page.name}: {flag} in '{span}'" for flag in FLAG.findall(span) if flag not in flags]
    assert unknown == []


SWITCHES = [
    (words, name.replace("_", "-"), field.default)
    for words, command in LEAVES.items()
    for name, field in command.__dataclass_fields__.items()
    if isinstance(field.default, bool)
]


@pytest.mark.parametrize(("words", "name", "default"), SWITCHES, ids=lambda value: str(value))
def test_a_switch_stands_in_its_help_under_the_name_that_its_text_is_about(words, name, default, capsys):
    """`--no-wrench    Measure the residual wrench` says the opposite of what it does."""
    lines = [line.strip("│ ") for line in help_of(words, capsys).splitlines()]
    assert [line for line in lines if re.match(rf"--{name}, --no-{name}\b", line)]
    assert main([*words, f"--no-{name}", "--help"]) == main([*words, f"--{name}", "--help"]) == 0


def test_the_build_tool_knows_the_licence_field():
    """A licence expression with license-files (PEP 639) is an error to setuptools before 77."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert isinstance(project["project"]["license"], str)
    (tool,) = (Requirement(r) for r in project["build-system"]["requires"])
    assert not tool.specifier.contains("76.1")
    assert tool.specifier.contains("77.0.3")


def test_a_transformers_that_nobody_has_seen_is_not_installed():
    """`language_model` hands caches of `transformers` around and names `dtype`, which came with 4.56."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    (wanted,) = (r for r in map(Requirement, project["project"]["dependencies"]) if r.name == "transformers")
    assert not wanted.specifier.contains("4.55.4")
    assert wanted.specifier.contains("5.23.0")
    assert not wanted.specifier.contains("6.0")


def test_doctor_knows_the_warp_backend():
    pytest.importorskip("mujoco_warp")
    finding = next(f for f in doctor.examine() if f.name == "physics: mujoco_warp")
    assert finding.ok
    assert "--backend warp" in finding.found
    assert "not run" not in finding.found


def test_generate_passes_over_comments_of_a_prompts_file(tmp_path, capsys):
    (tmp_path / "p.txt").write_text("# arms\na person waves.\n\n  # legs\n")
    out = tmp_path / "out"
    asked = ("--prompts-file", tmp_path / "p.txt", "--out", out, "--seconds", 1, 1)
    assert main(["generate", *map(str, asked)]) == 0
    assert [path.name for path in out.glob("*.npz")] == ["000_a_person_waves.npz"]
    (tmp_path / "p.txt").write_text("# nothing\n")
    assert main(["generate", *map(str, asked)]) == 2
    assert "holds no prompt" in capsys.readouterr().err
