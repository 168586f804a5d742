"""The command's edges: completion of shells, suggestions, JSON on standard output, examples that run as they stand."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
import tyro

from morphloop import cli
from morphloop.cli import COMMANDS, OnDemand, leaves, main
from morphloop.cli.completion import below, flags_of
from morphloop.cli.config import spelt_out
from morphloop.cli.examples import EXAMPLES
from morphloop.motion import make_corpus, save_clip

BASH = shutil.which("bash")


def command_of(leaf: type | OnDemand) -> type:
    return leaf.load() if isinstance(leaf, OnDemand) else leaf


LEAVES = {words: command_of(leaf) for words, leaf in leaves(COMMANDS)}


def test_every_command_has_examples_and_no_other():
    assert set(EXAMPLES) == set(LEAVES)


@pytest.mark.parametrize("words", LEAVES)
def test_an_example_is_understood(words: str):
    for line in EXAMPLES[words]:
        line = re.sub(r'^eval "\$\((.*)\)"$', r"\1", line)
        said = shlex.split(line.partition(" > ")[0])
        start = ["morphloop", *words.split()]
        assert said[: len(start)] == start
        command = LEAVES[words]
        tyro.cli(command, args=spelt_out(command, said[len(start) :]))


@pytest.mark.parametrize("words", ["", "loop", "evaluate", "body check"])
def test_help_ends_with_examples(words: str, capsys: pytest.CaptureFixture[str]):
    assert main([*words.split(), "--help"]) == 0
    lines = capsys.readouterr().out.rstrip().splitlines()
    told = lines[lines.index("examples:") + 1 :]
    assert told
    assert all(line.startswith(f"  morphloop {words}") for line in told)


def test_a_list_of_commands_tells_whole_sentences(capsys: pytest.CaptureFixture[str]):
    """Of a sentence on two lines of source the first was shown: `train generator` ended in `write a whole`."""
    assert main(["train", "--help"]) == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "write a whole generator imitator" in told
    assert "use of the codebooks generator" in told


@pytest.mark.parametrize("words", ["", "loop", "lineage"])
def test_help_without_examples_is_whole(
    words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(cli, "EXAMPLES", {})
    assert main([*words.split(), "--help"]) == 0
    told = capsys.readouterr()
    assert "usage: morphloop" in told.out
    assert "examples:" not in told.out
    assert told.err == ""


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("evalute", "evaluate"), ("projct", "project"), ("loop rnu", "loop run"), ("status", "loop status")],
)
def test_a_mistyped_command_gets_a_suggestion(typed: str, meant: str, capsys: pytest.CaptureFixture[str]):
    assert main(typed.split()) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"did you mean '{meant}'?" in line


def test_a_word_like_none_gets_the_list_alone(capsys: pytest.CaptureFixture[str]):
    assert main(["qqqq"]) == 2
    assert "no command 'qqqq', expected one of demo, doctor" in capsys.readouterr().err


def test_json_on_standard_output_is_json_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    save_clip(tmp_path / "walk.npz", make_corpus(1, seed=2)[0].slice(0, 20))
    assert main(["evaluate", str(tmp_path / "walk.npz"), "--no-wrench", "--json", "-"]) == 0
    told = capsys.readouterr()
    assert json.loads(told.out)["clips"][0]["name"] == "walk"
    assert "walk" in told.err or "slide" in told.err, "the table went to the other stream"
    assert main(["evaluate", str(tmp_path / "absent"), "--json", "-"]) == 2


def test_no_json_where_the_command_stopped_before(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["loop", "status", str(tmp_path / "absent"), "--json", "-"]) == 2
    assert capsys.readouterr().out == ""


def test_flags_are_those_that_the_command_takes():
    flags = dict(flags_of(LEAVES["project"]))
    assert {"--help", "--config", "--out", "--projection.ilqr.horizon", "--smooth", "--overrule-fps"} <= set(flags)
    assert "--no-overrule-fps" in flags
    assert "--paths" not in flags
    assert dict(flags_of(LEAVES["render"]))["--renderer"] == ("auto", "mujoco", "figure")


def test_words_follow_words():
    assert below({"loop run": {}, "loop status": {}, "demo": {}}) == {
        "": ["loop", "demo"],
        "loop": ["run", "status"],
    }


ASK = """
eval "$SCRIPT"
COMP_WORDS=({words})
COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
_morphloop
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


@pytest.fixture(scope="module")
def script() -> str:
    import contextlib
    import io

    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        assert main(["completion", "bash"]) == 0
    return out.getvalue()


@pytest.mark.skipif(BASH is None, reason="no bash on this machine")
@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("morphloop ev", ["evaluate"]),
        ("morphloop loop re", ["resume", "report"]),
        ("morphloop body ''", ["check"]),
        ("morphloop render --ren", ["--renderer"]),
        ("morphloop render --renderer m", ["mujoco"]),
        ("morphloop project clips --projection.ilqr.hor", ["--projection.ilqr.horizon"]),
        ("morphloop evaluate clips --ground lo", ["lowest"]),
        ("morphloop completion f", ["fish"]),
        ("morphloop evaluate my", ["my clips"]),
    ],
)
def test_bash_completes(script: str, typed: str, expected: list[str], tmp_path: Path):
    (tmp_path / "my clips").mkdir()
    done = subprocess.run(
        [str(BASH), "-c", ASK.format(words=typed)],
        env={"SCRIPT": script, "PATH": "/usr/bin:/bin"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.stderr == ""
    assert done.stdout.splitlines() == expected


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_take_theirs(shell: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["completion", shell]) == 0
    text = capsys.readouterr().out
    assert "evaluate" in text
    if shutil.which(shell) is None:
        pytest.skip(f"no {shell} on this machine")
    path = tmp_path / "script"
    path.write_text(text)
    assert subprocess.run([shell, "-n", str(path)], capture_output=True, text=True).stderr == ""
