"""`import morphloop as ml`: nothing is loaded until it is used, every example runs, files and clips give the same."""

from __future__ import annotations

import doctest
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import morphloop as ml
from morphloop import api
from morphloop.imitator import ProjectionConfig
from morphloop.motion import make_corpus, write_motion

HEAVY = ("torch", "mujoco", "scipy", "numpy", "transformers", "rich", "tyro")
G1_VIDEO = """
import sys
import morphloop as ml

source, video = sys.argv[1:]
clips = ml.load(source)
robot = ml.project(clips, body="g1")
scores = ml.evaluate(robot)
print(robot[0].provenance.verdict, scores["slide_mean_mm_s"].shape)
print(ml.render(robot, video).name)
"""


@pytest.fixture
def walk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in that holds walk.bvh."""
    monkeypatch.chdir(tmp_path)
    write_motion(tmp_path / "walk.bvh", make_corpus(1, seed=2)[0].slice(0, 20), "bvh")
    return tmp_path / "walk.bvh"


def test_importing_loads_nothing_heavy_and_takes_no_time():
    code = "import time; t = time.process_time(); import morphloop; t = time.process_time() - t; import sys; "
    code += f"print(t, *[name for name in {HEAVY} if name in sys.modules])"
    seconds, *heavy = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.split()
    assert heavy == []
    assert float(seconds) < 0.3


def test_in_a_notebook_scores_are_text_too(walk: Path, monkeypatch: pytest.MonkeyPatch):
    scores = ml.evaluate(ml.load(walk), wrench=False)
    shown = str(scores)
    assert "slide_mean_mm_s" in shown
    monkeypatch.setattr("rich.console._is_jupyter", lambda: True)
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert str(scores) == shown


def test_a_folder_that_is_not_there_yet_is_made(walk: Path, tmp_path: Path):
    out = tmp_path / "new" / "physical"
    (clip,) = ml.project(walk, out=out, config=ProjectionConfig(projector="policy"))
    assert (out / "clips" / f"{clip.name}.npz").is_file()
    assert (out / "timing.jsonl").is_file()


def test_all_names_are_there_and_no_others():
    assert {*api.__all__, "__version__"} == set(ml.__all__) <= set(dir(ml))
    assert all(getattr(ml, name) is getattr(api, name) for name in api.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = ml.nothing  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize("name", ["load", "evaluate", "generate", "project", "render", "body", "policy"])
def test_every_example_is_true(name: str, walk: Path):
    found = doctest.DocTestFinder(recurse=False).find(getattr(api, name), name, globs={})
    assert sum(len(test.examples) for test in found) >= 2
    runner = doctest.DocTestRunner()
    for test in found:
        runner.run(test)
    assert runner.summarize().failed == 0


@pytest.mark.slow
def test_ten_lines_from_bvh_to_a_video_of_the_g1(walk: Path):
    """In a script without a main guard."""
    assert len(G1_VIDEO.strip().splitlines()) <= 10
    (walk.parent / "script.py").write_text(G1_VIDEO)
    done = subprocess.run(
        [sys.executable, "script.py", "walk.bvh", "g1.mp4"], cwd=walk.parent, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    first, last = done.stdout.splitlines()
    assert first.split()[0] in ("accepted", "rejected")
    assert (walk.parent / last).stat().st_size > 1_000


def test_a_path_and_its_clips_score_the_same(walk: Path):
    clips = ml.load(walk)
    one, other = ml.evaluate(walk, wrench=False), ml.evaluate(clips, wrench=False)
    assert one.names == other.names == ("walk",)
    assert one.rows[0].values == other.rows[0].values
    assert one.summary()["surface"]["float_mean_mm"]["mean"] == one["float_mean_mm"][0]
    assert "walk" in str(one).splitlines()[1]
    assert np.isnan(one["slide_loaded_mm_s"]).all()
    with pytest.raises(KeyError, match="no metric 'slide'"):
        _ = one["slide"]


def test_what_is_wrong_is_one_line(walk: Path):
    for wrong, match in (
        (lambda: ml.load("absent.bvh"), "absent.bvh"),
        (lambda: ml.evaluate([]), "no motion given"),
        (lambda: ml.generate([]), "no prompt"),
        (lambda: ml.render(walk, "walk.avi"), "expected .mp4, .gif or .png"),
        (lambda: ml.body("gone.xml"), "no such body"),
        (lambda: ml.policy("gone.safetensors"), "no such policy"),
        (lambda: ml.policy(body="g1"), "no policy ships for body 'g1"),
        (lambda: ml.evaluate(["walk.npz"]), "'walk.npz' is no motion"),  # pyright: ignore[reportArgumentType]
        (lambda: ml.generate("a person walks", seed=-1), "seed -1"),
        (lambda: ml.render(walk, "walk.gif", size=(-1, 3)), "size -1 3"),
        (lambda: ml.render(walk, "walk.png", size=(0, 3)), "size 0 3"),
        (lambda: ml.render(walk, "walk.gif", fps=0.0), "fps is 0"),
        (lambda: ml.render(walk, "walk.gif", fps=float("nan")), "fps is nan"),
        (lambda: ml.render(walk, "walk.gif", renderer="figures"), "unknown renderer 'figures'"),  # pyright: ignore[reportArgumentType]
    ):
        with pytest.raises(ml.MotionError, match=match) as refused:
            wrong()
        assert "\n" not in str(refused.value)
