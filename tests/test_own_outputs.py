"""What morphloop wrote: never taken for input, never written over what is somebody else's, safe on the disk."""

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from morphloop.base import MotionError, write_atomic, write_json
from morphloop.cli import main
from morphloop.cli import project as project_command
from morphloop.generator import FolderGenerator
from morphloop.imitator import project_clips
from morphloop.imitator.optimal_control import many_clips
from morphloop.imitator.optimal_control.many_clips import Tracked
from morphloop.imitator.projection import project as projection
from morphloop.motion import files, load_clip, make_corpus, save_clip
from morphloop.motion.own_outputs import pass_over_own

OURS = {"projection": {}, "selection": {}}


def clips_in(folder: Path, *names: str) -> list[Path]:
    clip = make_corpus(1, 0)[0].slice(0, 20)
    return [save_clip(folder / f"{name}.npz", replace(clip, name=name)) for name in names]


def test_folders_that_morphloop_wrote_are_passed_over_below_what_was_asked_for(tmp_path):
    own = clips_in(tmp_path, "a", "deep/b")
    write_json(tmp_path / "out" / "config.json", OURS)
    theirs = clips_in(tmp_path / "out" / "clips", "a")
    write_json(tmp_path / "model" / "config.json", {"kind": "morphloop.motion_llm"})
    model = clips_in(tmp_path / "model", "c")
    found = [*own, *theirs, *model]
    assert pass_over_own(found, [tmp_path]) == ([*own, *model], [tmp_path / "out"])
    assert pass_over_own(theirs, [tmp_path / "out" / "clips"]) == (theirs, []), "asked for by name"
    assert pass_over_own(theirs, [tmp_path / "out"]) == (theirs, [])
    assert pass_over_own(theirs, [tmp_path / "out"], tmp_path / "out") == ([], [tmp_path / "out" / "clips"])
    assert pass_over_own(model, [tmp_path], tmp_path / "model") == ([], [tmp_path / "model"])


def test_a_run_inside_of_the_folder_of_its_clips_does_not_eat_itself(tmp_path):
    clips_in(tmp_path, "a", "b")
    before = FolderGenerator(tmp_path)
    write_json(tmp_path / "run" / "config.json", OURS | {"rounds": 1})
    clips_in(tmp_path / "run" / "round_00" / "project" / "clips", "a", "b")
    clips_in(tmp_path / "run" / "round_01" / ".project.partial" / "sources", "a")
    after = FolderGenerator(tmp_path)
    assert after.prompts == before.prompts
    assert after.hash() == before.hash()
    assert after.passed_over == [tmp_path / "run"]


@pytest.fixture
def tracked(monkeypatch):
    """Stands in for iLQR: tells of each clip in turn what it is given, and of others that the expert failed them."""
    asked, told = [], {}

    def track(clips, body, config, workers):
        for place, clip in enumerate(clips):
            asked.append(clip.name)
            yield place, told.get(clip.name, Tracked(None, f"{clip.name}: failed", 0.0))

    monkeypatch.setattr(projection, "track_clips", track)
    return asked, told


def run_project(capsys, *args: object) -> tuple[int, str]:
    code = main(["project", *map(str, args), "--policy", "none"])
    return code, capsys.readouterr().err


def test_projecting_into_the_folder_itself_twice_takes_the_same_clips(tmp_path, tracked, capsys):
    clips_in(tmp_path, "a", "b")
    asked, _ = tracked
    assert run_project(capsys, tmp_path, "--out", tmp_path / "out")[0] == 1
    code, said = run_project(capsys, tmp_path, "--out", tmp_path / "out")
    assert code == 1, "all are rejected, none is unreadable"
    assert said.count(f"{tmp_path}/out: passed over, morphloop wrote it") == 1
    assert sorted(asked) == ["a", "b"]
    assert {row["name"] for row in rows_of(tmp_path / "out")} == {"a", "b"}


def rows_of(out: Path) -> list[dict]:
    return [json.loads(line) for line in (out / "manifest.jsonl").read_text().splitlines()]


def test_a_fault_of_the_machine_is_no_verdict_and_is_tried_again(tmp_path, tracked, capsys):
    clips_in(tmp_path / "in", "a", "b")
    asked, told = tracked
    told["a"] = Tracked(None, "a: the process that tracked it died: killed by SIGKILL", 0.0, fault=True)
    code, said = run_project(capsys, tmp_path / "in", "--out", tmp_path / "out")
    assert code == 2
    assert "a: the process that tracked it died: killed by SIGKILL" in said
    assert [row["name"] for row in rows_of(tmp_path / "out")] == ["b"]
    del told["a"], asked[:]
    code, said = run_project(capsys, tmp_path / "in", "--out", tmp_path / "out")
    assert (code, asked, said) == (1, ["a"], "")
    assert [row["name"] for row in rows_of(tmp_path / "out")] == ["a", "b"]


def test_memory_that_ran_out_says_nothing_of_the_clip(monkeypatch):
    def full(*args):
        raise MemoryError

    monkeypatch.setattr(many_clips, "Ilqr", full)
    clip = make_corpus(1, 0)[0].slice(0, 20)
    (found,) = project_clips([clip], workers=0)
    assert found.fault
    assert "do not fit into memory" in str(found.reason)


@pytest.mark.parametrize("had", [{"kind": "morphloop.motion_llm"}, OURS | {"rounds": 1}, []])
def test_project_does_not_replace_the_config_of_somebody_else(tmp_path, tracked, capsys, had):
    clips_in(tmp_path / "in", "a")
    write_json(tmp_path / "out" / "config.json", had)
    before = (tmp_path / "out" / "config.json").read_bytes()
    code, said = run_project(capsys, tmp_path / "in", "--out", tmp_path / "out")
    assert code == 2
    assert f"{tmp_path}/out: holds a" in said
    assert said.count("\n") == 1
    assert (tmp_path / "out" / "config.json").read_bytes() == before
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["config.json"]


@pytest.mark.parametrize("place", ["clips", "records", "config.json"])
def test_project_writes_through_no_link(tmp_path, tracked, capsys, place):
    clips_in(tmp_path / "in", "a")
    (tmp_path / "out").mkdir()
    (tmp_path / "outside").mkdir()
    (tmp_path / "out" / place).symlink_to(tmp_path / "outside" / "x")
    code, said = run_project(capsys, tmp_path / "in", "--out", tmp_path / "out")
    assert code == 2
    assert f"out/{place}: is a link" in said
    assert list((tmp_path / "outside").iterdir()) == []


def test_a_long_clip_that_packs_well_is_read_back_by_who_wrote_it(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "MAX_UNPACKED", 4096)
    monkeypatch.setattr(files, "MAX_RATIO", 1)
    clip = make_corpus(1, 0)[0]
    upright = np.tile([1.0, 0.0, 0.0, 0.0], (*clip.rotations.shape[:2], 1))
    clip = replace(clip, root_pos=np.zeros_like(clip.root_pos), rotations=upright)
    assert load_clip(save_clip(tmp_path / "a.npz", clip)).num_frames == clip.num_frames


def test_a_file_is_on_the_disk_before_it_takes_its_name(tmp_path, monkeypatch):
    done = []
    real = {name: getattr(os, name) for name in ("fsync", "replace")}

    def note(name):
        def noted(*args):
            done.append((name, os.fstat(args[0]).st_size if name == "fsync" else Path(args[1]).name))
            return real[name](*args)

        return noted

    for name in real:
        monkeypatch.setattr(os, name, note(name))
    write_atomic(tmp_path / "a", lambda stream: stream.write(b"12345"))
    assert done == [("fsync", 5), ("replace", "a")]


def test_project_says_when_there_is_nothing_but_its_own(tmp_path, capsys):
    write_json(tmp_path / "out" / "config.json", OURS)
    clips_in(tmp_path / "out" / "clips", "a")
    with pytest.raises(MotionError, match="holds nothing but what morphloop wrote"):
        project_command.Project(paths=(tmp_path,), out=tmp_path / "new").run()
