"""The command: help without torch, bad input in one line and exit code 2, YAML overlay, loop and project."""

import json
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import pytest
import tyro

from morphloop import cli
from morphloop.base import MotionError
from morphloop.cli import COMMANDS, main
from morphloop.cli.config import overlay, take_config
from morphloop.cli.console import guarded
from morphloop.cli.demo import DEMO_PROMPTS
from morphloop.cli.project import REPORTED
from morphloop.envs import prepare
from morphloop.imitator import Projection
from morphloop.metrics import track_errors
from morphloop.metrics.report.names import distinct
from morphloop.motion import load_rollout, make_corpus, read_manifest, save_clip
from morphloop.refinement_loop import project_folder, read_prompts, report
from morphloop.sim import Recorder, certify, default_body


def run(capsys, *args):
    """Exit code and the lines of stderr."""
    code = main([str(arg) for arg in args])
    return code, capsys.readouterr().err.strip().splitlines()


def hold(clip):
    """A projection that holds the first pose of a clip for two thirds of a second."""
    body, source, clip = default_body(), clip, prepare(clip, default_body()).slice(0, 20)
    recorder = Recorder(body, body.qpos_from_clip(clip)[0], np.zeros(body.model.nv))
    for _ in range(clip.num_frames - 1):
        recorder.step(np.zeros(body.model.nu))
    rollout = recorder.rollout(0, clip.name)
    moved = body.clip_from_qpos(rollout.qpos, rollout.fps, clip.name)
    tracking = track_errors(moved, clip) | {"skill": 0.9}
    certificate = certify(rollout, body)
    origin = replace(source.provenance, parent=source.id, stage="project")
    moved = replace(moved, texts=source.texts, provenance=origin)
    return Projection(source, clip, moved, rollout, "optimiser", tracking, certificate, None, 0.1, {})


def project(clips, policy, config, on_done=None, body=None, workers=None):
    made = [hold(clip) for clip in clips]
    for projection in made:
        if on_done is not None:
            on_done(projection)
    return made


@pytest.fixture
def fake_physics(monkeypatch):
    monkeypatch.setattr(project_folder, "project_clips", project)


@pytest.fixture
def clips(tmp_path):
    folder = tmp_path / "clips"
    for clip in make_corpus(2, 5):
        save_clip(folder / f"{clip.name}.npz", clip)
    return folder


def assert_loads_nothing_heavy(*args):
    """A glance at a run that is at work must not take its cores for seconds; returns what the command printed."""
    heavy = "[m for m in ('torch', 'mujoco', 'transformers', 'stable_baselines3', 'scipy') if m in sys.modules]"
    code = f"import sys, morphloop.cli as c; print(c.main({list(args)}), {heavy})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "0 []"
    return done.stdout


def test_help_imports_nothing_heavy_and_lists_every_command():
    told = assert_loads_nothing_heavy("--help")
    for word in ("demo", "evaluate", "project", "generate", "train generator", "loop resume", "lineage"):
        assert word in told


def leaves(node, words=()):
    for word, below in node.items():
        if isinstance(below, dict):
            yield from leaves(below, (*words, word))
        else:
            yield (*words, word), below


@pytest.mark.parametrize("words", [words for words, _ in leaves(COMMANDS)], ids=" ".join)
def test_every_command_has_help(words, capsys):
    assert main([*words, "--help"]) == 0
    assert " ".join(("morphloop", *words)) in capsys.readouterr().out


@pytest.mark.parametrize("words", [(), ("loop",), ("fly",), ("loop", "fly")])
def test_no_such_command_is_a_usage_error(words, capsys):
    assert main(list(words)) == 2
    assert capsys.readouterr().out == ""


def test_bad_inputs_get_one_line_and_exit_code_2(tmp_path, clips, capsys):
    empty, text, nothing = tmp_path / "empty", tmp_path / "motion.xyz", tmp_path / "absent.txt"
    empty.mkdir()
    text.write_text("x")
    (tmp_path / "blank.txt").write_text("# only a comment\n\n")
    out = tmp_path / "out"
    project_ = ("project", "--policy", "none", "--out", out)
    for args, words in [
        ((*project_, empty), "empty"),
        ((*project_, text), "motion.xyz"),
        ((*project_, clips, "--policy", tmp_path / "no.policy"), "no.policy"),
        (("loop", "run", "--out", out, "--prompts", nothing, "--policy", "none"), "absent.txt"),
        (("loop", "run", "--out", out, "--prompts", tmp_path / "blank.txt", "--policy", "none"), "holds no prompt"),
        (("loop", "run", "--out", out, "--policy", "none"), "--prompts FILE"),
        (("loop", "run", "--out", out, "--clips", empty, "--policy", "none"), "empty"),
        (("loop", "run", "--out", out, "--clips", clips, "--policy", "none", "--rounds", "0"), "rounds is 0"),
        (("loop", "resume", empty), "holds no run"),
        (("loop", "status", empty), "holds no run"),
        (("loop", "report", empty), "holds no run"),
        (("lineage", text), "motion.xyz"),
    ]:
        code, lines = run(capsys, *args)
        assert code == 2, args
        assert not out.exists() or not list(out.glob("*.json*")), args
        assert len(lines) == 1, (args, lines)
        assert words in lines[0], (args, lines)
        assert "Traceback" not in lines[0]


def test_an_output_that_cannot_be_written_is_one_line(tmp_path, clips, capsys):
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    for args in [
        ("project", clips, "--policy", "none", "--out", blocked / "out"),
        ("loop", "run", "--clips", clips, "--policy", "none", "--out", blocked / "out"),
    ]:
        code, lines = run(capsys, *args)
        assert (code, len(lines)) == (2, 1)
        assert "cannot write here" in lines[0]
    out = tmp_path / "out"
    for json_path, words in ((tmp_path, "is a folder"), (blocked / "r.json", "cannot write here")):
        code, lines = run(capsys, "project", clips, "--policy", "none", "--out", out, "--json", json_path)
        assert (code, len(lines)) == (2, 1)
        assert words in lines[0]
        assert not out.exists(), "said before the work"


def test_project_does_the_rest_of_a_batch_and_names_the_bad_files(tmp_path, clips, capsys, fake_physics):
    (clips / "truncated.npz").write_bytes(b"PK\x03\x04")
    out = tmp_path / "out"
    code, lines = run(capsys, "project", clips, "--policy", "none", "--out", out, "--json", out / "r.json")
    assert code == 2
    assert len(lines) >= 1
    assert "truncated.npz" in lines[-1]
    result = json.loads((out / "r.json").read_text())
    assert result["schema"] == 1
    assert len(result["clips"]) == 2
    assert [failure["path"] for failure in result["failed"]] == [str(clips / "truncated.npz")]
    for clip in result["clips"]:
        assert clip["verdict"] in ("accepted", "rejected")
        assert {"name", "reason", "projector", "before", "after", "certificate"} <= clip.keys()
        assert clip["before"].keys() == clip["after"].keys() >= {"slide_mean_mm_s", "physdiff_phys_err_mm"}
        assert clip["before"]["slide_loaded_mm_s"] is None, "the input has no forces"
        assert clip["after"]["slide_loaded_mm_s"] is not None
        assert clip["certificate"]["bit_equal"] is True
        assert load_rollout(out / "rollouts" / f"{clip['name']}.npz").num_frames == 20
        assert clip["wall_s"] == 0.1
    assert [row["name"] for row in read_manifest(out)] == [clip["name"] for clip in result["clips"]]
    for path in (*out.glob("records/*.json"), out / "manifest.jsonl"):
        assert "wall_s" not in path.read_text(), "a clock is not a result"
    assert {"all", "accepted"} == result["summary"].keys()


def evaluated(path, capsys, *flags):
    """Figures of a file as `evaluate` gives them."""
    out = path.parent / "evaluated.json"
    assert main(["evaluate", str(path), "--json", str(out), *flags]) == 0
    capsys.readouterr()
    (row,) = json.loads(out.read_text())["clips"]
    return row["metrics"]


@pytest.mark.parametrize("kind", ["bvh", "amass", "humanml3d-joints"])
def test_before_is_what_evaluate_says_of_the_same_file(kind, tmp_path, capsys, fake_physics):
    """A file that stands under its floor was so before, whatever retargeting to another skeleton would do about it."""
    clip = make_corpus(1, 5)[0].slice(0, 40).moved(np.array([0.0, 0.0, -0.035]))
    save_clip(tmp_path / "in" / "sunk.npz", clip)
    assert main(["convert", str(tmp_path / "in"), "--out", str(tmp_path / "files"), "--to", kind]) == 0
    (path,) = (path for path in (tmp_path / "files").rglob("*.*") if path.suffix in (".bvh", ".npz", ".npy"))
    fps = ["--fps", "20"] if path.suffix == ".npy" else []
    result = tmp_path / "r.json"
    args = ["project", str(path), "--policy", "none", "--out", str(tmp_path / "o"), "--json", str(result), *fps]
    assert main(args) in (0, 1)
    capsys.readouterr()
    (row,) = json.loads(result.read_text())["clips"]
    side = row["before"] if row["before_joints"] is None else row["before_joints"]
    found = evaluated(path, capsys, *fps)
    assert row["before"]["penetration_mean_mm"] > 15.0, "the file's own ground"
    known = {name: value for name, value in found.items() if value is not None}
    assert {name: value for name, value in side.items() if value is not None} == pytest.approx(
        known, rel=0.02, abs=1e-4
    )


def test_names_that_are_alike_stay_apart_in_a_table():
    names = [f"mdm_a_person_walks_forward_and_turns_left_sample_{k}" for k in range(4)]
    names += [f"{k}_a_person_walks_forward_and_turns_{k}_left_sample" for k in range(4)]
    names += ["a_person_walks_and_waves_to_the_left_side", "a_person_walks_and_bends_to_the_left_side"]
    for width in (9, 14, 20, 80):
        short = distinct(names, width)
        assert len(set(short)) == len(names), width
        assert max(map(len, short)) <= width


@pytest.mark.parametrize("width", [80, 130])
def test_the_table_of_project_breaks_no_word_of_a_heading(tmp_path, capsys, fake_physics, monkeypatch, width):
    monkeypatch.setenv("COLUMNS", str(width))
    clip = replace(make_corpus(1, 5)[0], name="mdm_a_person_walks_forward_and_turns_left_sample_3")
    save_clip(tmp_path / "clips" / f"{clip.name}.npz", clip)
    main(["project", str(tmp_path / "clips"), "--policy", "none", "--out", str(tmp_path / "o")])
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= width
    top, ends = (next(k for k, line in enumerate(lines) if line.startswith(corner)) for corner in "┏┡")
    head = [line.split("┃") for line in lines[top + 1 : ends]]
    assert all(len(cells) == len(head[0]) for cells in head), "the frame is whole"
    columns = [[cell.strip() for cell in column if cell.strip()] for column in zip(*head, strict=True)][4:-1]
    assert [column[-1] for column in columns] == ["before > after"] * len(columns)
    names = ["".join(column[:-1]) for column in columns]
    assert names == list(REPORTED if width >= 130 else REPORTED[:2])
    parts = {part for column in columns for part in column[:-1]}
    assert parts >= {"slide_loaded_", "slide_mean_", "mm_s"}, "broken between words, the unit whole"


def test_loop_runs_a_folder_and_status_report_and_lineage_read_it(tmp_path, clips, capsys, fake_physics):
    out = tmp_path / "run"
    (clips / "truncated.npz").write_bytes(b"PK")
    code, lines = run(capsys, "loop", "run", "--clips", clips, "--policy", "none", "--out", out)
    assert code == 2
    assert sum("truncated.npz" in line for line in lines) == 1
    assert (out / "report.html").stat().st_size > 10_000
    capsys.readouterr()
    assert main(["loop", "status", str(out), "--json", str(tmp_path / "s.json")]) == 0
    lines = capsys.readouterr().out.splitlines()
    (heading,) = [line for line in lines if line.split()[:1] == ["round"] and ":" not in line]
    stages = ["generate", "imitate", "project", "measure", "select", "robot", "finetune"]
    assert heading.split() == ["round", *stages], "no word is cut"
    (told,) = [line for line in lines if line.startswith("round 0: ")]
    (round_,) = json.loads((tmp_path / "s.json").read_text())["rounds"]
    assert list(round_["stages"]) == stages
    assert round_["counts"]["clips"] == 2
    assert told.startswith("round 0: 2 clips: ")
    for reason, count in round_["counts"]["reasons"].items():
        assert f"{reason} {count}" in told
    assert_loads_nothing_heavy("loop", "status", str(out))
    moved = out / "round_00" / "select"
    moved.rename(out / "round_00" / "aside")
    assert main(["loop", "status", str(out)]) == 0
    assert "round 0: no verdicts yet" in capsys.readouterr().out
    (out / "round_00" / "aside").rename(moved)
    clip = next((out / "round_00" / "project" / "clips").glob("*.npz"))
    assert main(["lineage", str(clip), "--json", str(tmp_path / "l.json")]) == 0
    walked = json.loads((tmp_path / "l.json").read_text())["steps"]
    assert [step["provenance"]["stage"] for step in walked][:2] == ["project", "generate"]
    capsys.readouterr()


def test_ctrl_c_is_one_line_and_resume_finishes(tmp_path, clips, capsys, monkeypatch):
    def dies(*rest):
        raise KeyboardInterrupt

    out = tmp_path / "run"
    monkeypatch.setattr(project_folder, "project_clips", dies)
    code, lines = run(capsys, "loop", "run", "--clips", clips, "--policy", "none", "--out", out)
    assert code == 130
    assert "interrupted" in lines[-1]
    monkeypatch.setattr(project_folder, "project_clips", project)
    monkeypatch.setattr(report, "SHOWN_CLIPS", 0)
    assert main(["loop", "resume", str(out)]) in (0, 1)
    capsys.readouterr()


def test_errors_map_to_exit_codes(capsys):
    def fails(error):
        def raises():
            raise error

        return guarded(raises)

    assert fails(MotionError("two\nlines")) == 2
    assert capsys.readouterr().err == "morphloop: two lines\n"
    assert fails(PermissionError(13, "Permission denied", "/x")) == 2
    assert fails(KeyboardInterrupt()) == 130
    capsys.readouterr()
    assert fails(ZeroDivisionError()) == 2
    assert capsys.readouterr().err.startswith("morphloop: internal fault (ZeroDivisionError: ), report it with ")


@dataclass(frozen=True)
class Sample:
    """A command to lay YAML over."""

    path: Annotated[Path, tyro.conf.Positional]
    ratio: float = 0.5
    count: int | None = None
    kind: Literal["a", "b"] = "a"
    seconds: tuple[float, float] = (1.0, 2.0)
    fast: bool = False

    def run(self) -> int:
        return 0


def test_yaml_becomes_defaults_and_flags_win(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(Sample, "run", lambda self: seen.append(self) or 0)
    monkeypatch.setitem(COMMANDS, "sample", Sample)
    file = tmp_path / "c.yaml"
    file.write_text("ratio: 1\ncount: 3\nkind: b\nseconds: [2, 3.5]\nfast: true\n")
    assert main(["sample", "--config", str(file), "--count", "4", "x.npz"]) == 0
    assert seen == [Sample(Path("x.npz"), 1.0, 4, "b", (2.0, 3.5), True)]
    file.write_text("path: y.npz\n")
    assert main(["sample", f"--config={file}"]) == 0
    assert seen[1] == Sample(Path("y.npz"))


@dataclass(frozen=True)
class Inner:
    """A part of a command that has flags of its own."""

    clips: int = 5
    data: Path | None = None


@dataclass(frozen=True)
class Outer:
    """A command whose flags are in parts."""

    out: Path
    source: Inner = Inner(clips=7)

    def run(self) -> int:
        return 0


def test_yaml_nests_as_flags_do(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(Outer, "run", lambda self: seen.append(self) or 0)
    monkeypatch.setitem(COMMANDS, "outer", Outer)
    file = tmp_path / "c.yaml"
    file.write_text("out: o\nsource:\n  data: d\n")
    assert main(["outer", "--config", str(file)]) == 0
    assert main(["outer", "--config", str(file), "--source.clips", "9"]) == 0
    assert seen == [Outer(Path("o"), Inner(7, Path("d"))), Outer(Path("o"), Inner(9, Path("d")))]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("source:\n  clip: 3", "source: unknown clip, expected some of clips, data"),
        ("source:\n  clips: few", "source: clips is 'few', expected int"),
        ("source: 3", "source is 3, expected names and values below it"),
        ("source: [1]", "source is .1., expected names"),
    ],
)
def test_nested_yaml_that_does_not_fit_is_one_line(tmp_path, text, complaint):
    (tmp_path / "c.yaml").write_text(text)
    with pytest.raises(MotionError, match=complaint) as caught:
        overlay(Outer, tmp_path / "c.yaml")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("rounds: 2", "unknown rounds"),
        ("ratio: high", "ratio is 'high', expected float"),
        ("count: 1.5", "count is 1.5"),
        ("kind: c", "kind is 'c'"),
        ("fast: 1", "fast is 1, expected bool"),
        ("- 1", "holds a list"),
        ("a: [", "not a YAML file"),
        ("a: !!python/object/apply:os.getcwd []", "not a YAML file"),
    ],
)
def test_yaml_that_does_not_fit_is_one_line(tmp_path, text, complaint):
    (tmp_path / "c.yaml").write_text(text)
    with pytest.raises(MotionError, match=complaint) as caught:
        overlay(Sample, tmp_path / "c.yaml")
    assert "\n" not in str(caught.value)


def test_config_flag_needs_a_file():
    assert take_config(["a", "--config", "f", "b"]) == (["a", "b"], Path("f"))
    with pytest.raises(MotionError, match="no file given"):
        take_config(["--config"])


def test_prompts_skip_comments_and_empty_lines(tmp_path):
    (tmp_path / "p.txt").write_text("# walks\na person walks.\n\n  a person bows. \n")
    assert read_prompts(tmp_path / "p.txt") == ("a person walks.", "a person bows.")
    (tmp_path / "b.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(MotionError, match="UTF-8"):
        read_prompts(tmp_path / "b.txt")


def test_the_demo_has_sixteen_prompts():
    assert len(set(DEMO_PROMPTS)) == 16
    assert cli.main is main
