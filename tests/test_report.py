"""The report: one file, nothing from outside, every section filled from a finished run; and figures without a run."""

import re
import shutil
from html.parser import HTMLParser
from xml.etree import ElementTree

import numpy as np
import pytest

from morphloop.base import MotionError, write_json
from morphloop.imitator import Projection
from morphloop.metrics import track_errors
from morphloop.motion import make_corpus, save_clip
from morphloop.refinement_loop import LoopConfig, project_folder, start_run, write_report
from morphloop.refinement_loop.figures import Line, foot_heights, foot_speeds, nice_range, plot
from morphloop.refinement_loop.report import chosen, number
from morphloop.sim import Recorder, certify, default_body


class Outside(HTMLParser):
    """Collects every address that a page would fetch, and counts its tags."""

    def __init__(self):
        super().__init__()
        self.addresses, self.tags = [], {}

    def handle_starttag(self, tag, attrs):
        self.tags[tag] = self.tags.get(tag, 0) + 1
        self.addresses += [value for name, value in attrs if name in ("src", "href", "srcset", "poster", "data")]


def hold(clip):
    """A projection that holds the first pose for half a second; the first clip of all stays without one."""
    body, clip = default_body(), clip.slice(0, 15)
    recorder = Recorder(body, body.qpos_from_clip(clip)[0], np.zeros(body.model.nv))
    for _ in range(clip.num_frames - 1):
        recorder.step(np.zeros(body.model.nu))
    rollout = recorder.rollout(0, clip.name)
    moved = body.clip_from_qpos(rollout.qpos, rollout.fps, clip.name)
    return Projection(
        source=clip,
        reference=clip,
        clip=moved,
        rollout=rollout,
        projector="optimiser",
        tracking=track_errors(moved, clip),
        certificate=certify(rollout, body),
        reason=None,
        wall_s=0.1,
        sim_metrics={"sim_contact_ratio": 1.0},
    )


def nothing(clip):
    return Projection(
        source=clip,
        reference=None,
        clip=None,
        rollout=None,
        projector="none",
        tracking={},
        certificate=None,
        reason="not finite at the first step",
        wall_s=0.1,
        sim_metrics={},
    )


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run over three clips, one of which physics could do nothing with."""
    home = tmp_path_factory.mktemp("report")
    for clip in make_corpus(3, 5):
        save_clip(home / "clips" / f"{clip.name}.npz", clip.with_provenance(prompt=None))

    def project(clips, policy, config, on_done, *rest):
        for clip in clips:
            on_done(nothing(clip) if clip.name.startswith("000") else hold(clip))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(project_folder, "project_clips", project)
        start_run(home / "run", LoopConfig(clips=str(home / "clips")), lambda *args: None)
    return home / "run"


@pytest.fixture(scope="module")
def page(run):
    return write_report(run, run / "report.html").read_text()


def test_the_page_fetches_nothing(page):
    parser = Outside()
    parser.feed(page)
    assert parser.addresses
    assert all(address.startswith("data:") for address in parser.addresses)
    assert "@import" not in page
    assert not re.search(r"url\(", page)
    assert "link" not in parser.tags
    assert "script" not in parser.tags


def test_the_page_holds_every_part(page):
    parser = Outside()
    parser.feed(page)
    assert parser.tags["svg"] == 8
    assert parser.tags.get("video", 0) + page.count('class="video"') == 2
    assert parser.tags["table"] >= 4
    for part in (
        "nothing simulated",
        "physdiff_phys_err_mm",
        "frozen pose",
        "cannot be fine-tuned",
        "no policy",
        "mujoco",
    ):
        assert part in page
    assert "2 of 2 rollouts replay" in page


def test_plots_are_well_formed(page):
    drawn = re.findall(r"<svg.*?</svg>", page)
    for svg in drawn:
        root = ElementTree.fromstring(svg)
        assert {line.get("class") for line in root.iter("polyline")} == {"before", "after"}


def test_an_unfinished_round_says_so(run, tmp_path):
    (tmp_path / "config.json").write_text((run / "config.json").read_text())
    assert "Not finished: 0 of 7 stages" in write_report(tmp_path, tmp_path / "r.html").read_text()


def test_a_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(MotionError, match="holds no run"):
        write_report(tmp_path, tmp_path / "r.html")


def test_a_prompt_cannot_write_html(run, tmp_path):
    shutil.copytree(run, tmp_path / "run")
    manifest = tmp_path / "run" / "round_00" / "select" / "manifest.jsonl"
    manifest.write_text(re.sub(r'"prompt": "[^"]*"', '"prompt": "<script>alert(1)</script>"', manifest.read_text()))
    page = write_report(tmp_path / "run", tmp_path / "r.html").read_text()
    assert "<script>" not in page
    assert "&lt;script&gt;" in page


def test_heights_and_speeds_of_a_moved_standing_clip():
    clip = make_corpus(1, 0)[0].slice(0, 1)
    held = type(clip)(30.0, clip.skeleton, np.repeat(clip.root_pos, 5, axis=0), np.repeat(clip.rotations, 5, axis=0))
    lifted = held.moved(np.array([0.0, 0.0, 0.1]))
    assert foot_heights(lifted) - foot_heights(held) == pytest.approx(np.full((5, 2), 100.0))
    sliding = held.moved(np.arange(5)[:, None] * np.array([0.01, 0.0, 0.0]))
    assert foot_speeds(sliding) == pytest.approx(np.full((5, 2), 0.3))
    assert foot_speeds(held) == pytest.approx(np.zeros((5, 2)))


def test_a_plot_keeps_its_curve_inside():
    line = Line(np.array([0.0, 1.0, 2.0]), np.array([-3.0, 0.0, 47.0]), "after")
    root = ElementTree.fromstring(plot("a & b", [line]))
    points = [tuple(map(float, p.split(","))) for p in next(root.iter("polyline")).get("points").split()]
    assert all(0 <= x <= 420 and 20 <= y <= 141 for x, y in points)
    assert points[0][1] > points[1][1] > points[2][1]


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (-3.0, 47.0), (0.0, 1e-9), (0.0, 12345.0)])
def test_nice_range_holds_its_values(low, high):
    bottom, top, step = nice_range(low, high)
    assert bottom <= low
    assert top >= high
    assert 1 <= (top - bottom) / step <= 7


def test_numbers_are_short_and_null_is_a_dash():
    assert [number(v) for v in (None, 0.0, 1e-5, -1e-5, 1.23456, 1234.5)] == [
        "–",
        "0",
        "≈0",
        "≈0",
        "1.23",
        "1234",
    ]


def test_chosen_clips_show_accepted_and_rejected():
    def row(name, verdict, gain, simulated=True):
        sides = {"before": {"physdiff_phys_err_mm": gain}, "after": {"physdiff_phys_err_mm": 0.0}}
        return {"name": name, "id": "x" if simulated else None, "verdict": verdict} | sides

    rows = [row(f"a{i}", "accepted", float(i)) for i in range(9)] + [row("r", "rejected", 0.0)]
    rows.append(row("none", "rejected", 0.0, simulated=False))
    assert [r["name"] for r in chosen(rows)] == ["a8", "a7", "a4", "r"]
    assert [r["name"] for r in chosen(rows[-2:])] == ["r"]


def test_a_comparison_of_an_older_version_is_still_shown(run, tmp_path):
    """Guards once compared physics alone, before and after."""
    shutil.copytree(run, tmp_path / "run")
    sides = {side: {"mean": 1.5, "median": 1.5, "ci95": [1.0, 2.0]} for side in ("before", "after", "change")}
    guard = {
        "prompts": 256,
        "metrics": {"physdiff_phys_err_mm": sides},
        "rolled_back": True,
        "rule": "none",
        "clips": [],
    }
    write_json(tmp_path / "run" / "round_00" / "finetune" / "guard.json", guard)
    page = write_report(tmp_path / "run", tmp_path / "report.html").read_text()
    assert "Rolled back: the next round keeps the generator from before." in page
    assert page.count("not measured in this run") == 6
