"""Batches: worker processes that may die, rows that stream, two batches compared, and the page that shows it all."""

from __future__ import annotations

import base64
import json
import multiprocessing
import os
import re
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import imageio.v2 as imageio
import numpy as np
import pytest

from morphloop.base import MotionError
from morphloop.cli import main
from morphloop.cli.evaluate import Evaluate
from morphloop.metrics import measure, summarise
from morphloop.metrics.contact import SLIDE_FAST
from morphloop.metrics.report import EvaluateConfig, compare, evaluate, write_evaluation, write_evaluation_page
from morphloop.metrics.report.charts import Marker, beyond, distribution, nice_range
from morphloop.metrics.report.spool import Columns, Spool
from morphloop.metrics.report.timeline_chart import timeline_html
from morphloop.metrics.report.worst import rank
from morphloop.metrics.timelines import timeline
from morphloop.motion import DEFAULT_SKELETON, HUMANML3D_JOINTS, Clip, JointTrack, Provenance, save_clip
from morphloop.sim.bodies.smpl_table import SOLE_HEIGHT

SERIAL = EvaluateConfig(workers=0, wrench=False)


def standing(frames: int = 31, up: float = 0.0, speed: float = 0.0) -> Clip:
    """Soles `up` metres over the ground, the whole body drifting forward at `speed` m/s."""
    rotations = np.zeros((frames, 24, 4))
    rotations[..., 0] = 1.0
    times = np.arange(frames) / 30.0
    root = np.stack([speed * times, 0 * times, 0 * times - SOLE_HEIGHT + up], axis=1)
    return Clip(30.0, DEFAULT_SKELETON, root, rotations)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Six clips: three slide at 0, 0.1 and 0.2 m/s, one floats, one sinks, one is joints alone."""
    for number, speed in enumerate((0.0, 0.1, 0.2)):
        save_clip(tmp_path / "in" / f"slide_{number}.npz", standing(speed=speed))
    save_clip(tmp_path / "in" / "floats.npz", standing(up=0.05))
    save_clip(tmp_path / "in" / "sinks.npz", standing(up=-0.03))
    track = JointTrack(30.0, HUMANML3D_JOINTS, standing().positions[:, :22])
    save_clip(tmp_path / "in" / "joints.npz", track)
    return tmp_path / "in"


def names(found: dict) -> list[str]:
    return [clip["name"] for clip in found["clips"]]


def test_the_number_of_workers_changes_no_byte(folder: Path, tmp_path: Path) -> None:
    (folder / "broken.npz").write_bytes(b"PK\x03\x04")
    for workers in (0, 2):
        write_evaluation(tmp_path / f"{workers}.json", evaluate([folder], replace(SERIAL, workers=workers)))
    assert (tmp_path / "0.json").read_bytes() == (tmp_path / "2.json").read_bytes()
    found = json.loads((tmp_path / "2.json").read_text())
    assert names(found) == ["floats", "joints", "sinks", "slide_0", "slide_1", "slide_2"]
    assert [row["path"] for row in found["failed"]] == [str(folder / "broken.npz")]


def test_killed_workers_cost_the_file_in_hand_and_no_other(tmp_path: Path) -> None:
    for number in range(8):
        save_clip(tmp_path / "in" / f"{number}.npz", standing(frames=30_000 if number == 1 else 31))
    killed = []

    def kill_all(_label: str, _done: int, _total: int) -> None:
        """At the first row one worker has just done file 0 and the other is at file 1, the long one."""
        if not killed:
            killed.extend(multiprocessing.active_children())
            for process in killed:
                os.kill(process.pid, signal.SIGKILL)
                process.join()

    result = evaluate([tmp_path / "in"], replace(SERIAL, workers=2), kill_all)
    assert len(killed) == 2
    assert [Path(row["path"]).stem for row in result.failed] == ["1"]
    assert "killed by SIGKILL" in result.failed[0]["reason"]
    assert [row["name"] for row in result.rows.rows("surface")] == list("0234567")


def test_ctrl_c_leaves_no_worker_and_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(24):
        save_clip(tmp_path / "in" / f"{number:02d}.npz", standing(frames=200))

    @contextmanager
    def interrupting() -> Iterator[Callable[[str, int, int], None]]:
        yield lambda _label, done, _total: signal.raise_signal(signal.SIGINT) if done == 3 else None

    monkeypatch.setattr("morphloop.cli.evaluate.progress_bars", interrupting)
    outputs = ["--json", str(tmp_path / "out.json"), "--html", str(tmp_path / "out.html")]
    heard = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job is deaf to it
    try:
        assert main(["evaluate", str(tmp_path / "in"), "--workers", "2", *outputs]) == 130
    finally:
        signal.signal(signal.SIGINT, heard)
    assert "interrupted" in capsys.readouterr().err
    assert multiprocessing.active_children() == []
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_many_motions_in_one_file_are_rows_of_their_own(tmp_path: Path) -> None:
    joints = np.stack([standing(speed=speed).positions for speed in (0.0, 0.1, 0.2)])
    joints[1, 5, 3] = np.nan
    file = tmp_path / "batch.npz"
    np.savez(file, joints=joints, classes=np.zeros(3))
    for workers in (0, 1):
        result = evaluate([file], replace(SERIAL, fps=30.0, workers=workers))
        rows = list(result.rows.rows("joints"))
        assert [(row["name"], row["path"]) for row in rows] == [(f"batch:{k}", f"{file}:{k}") for k in (0, 2)]
        assert [row["path"] for row in result.failed] == [f"{file}:1"]
        assert "NaN" in result.failed[0]["reason"]


def test_columns_keep_their_rows_when_names_come_late() -> None:
    columns = Columns()
    columns.add({"a": 1.0})
    columns.add({"b": 2.0, "a": None})
    columns.add({})
    assert columns.names == ["a", "b"]
    np.testing.assert_array_equal(columns.column("a"), [1.0, np.nan, np.nan])
    np.testing.assert_array_equal(columns.column("b"), [np.nan, 2.0, np.nan])
    np.testing.assert_array_equal(columns.column("c"), [np.nan] * 3)


def test_rows_are_read_in_the_order_of_their_keys() -> None:
    spool = Spool()
    for file, clip in ((2, 0), (0, 1), (1, 0), (0, 0)):
        metrics = {"slide_mean_mm_s": float(10 * file + clip)}
        row = {"name": f"{file}.{clip}", "variant": "joints", "frames": 30, "fps": 30.0, "metrics": metrics}
        spool.add(file, clip, row, None)
    assert [row["name"] for row in spool.rows("joints")] == ["0.0", "0.1", "1.0", "2.0"]
    assert [json.loads(line)["name"] for line in spool.lines()] == ["0.0", "0.1", "1.0", "2.0"]
    np.testing.assert_array_equal(spool.variants["joints"].column("slide_mean_mm_s"), [0.0, 1.0, 10.0, 20.0])
    assert spool.variants["joints"].seconds == 4.0


def test_summary_of_a_batch_is_that_of_its_rows(folder: Path) -> None:
    result = evaluate([folder], SERIAL)
    rows = [row["metrics"] for row in result.rows.rows("surface")]
    assert result.summary("surface") == summarise(rows)


def test_worst_first_and_why(folder: Path) -> None:
    result = evaluate([folder], SERIAL)
    rows = list(result.rows.rows("surface"))
    ranking = rank(result.rows.variants["surface"])
    order = [rows[place]["name"] for place in ranking.places]
    assert order[0] == "floats"  # hangs throughout
    assert order.index("slide_2") < order.index("slide_1") < order.index("slide_0")
    assert ranking.score[-1] == pytest.approx(0.0, abs=1e-4)
    assert (np.diff(ranking.score) <= 0).all()


class Tags(HTMLParser):
    """Every tag, and every address that a page would fetch."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.tags: dict[str, int] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] = self.tags.get(tag, 0) + 1
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "poster", "data")]


def parsed(page: Path) -> tuple[str, Tags]:
    text, tags = page.read_text(), Tags()
    tags.feed(text)
    return text, tags


def test_page_is_one_file_that_fetches_nothing(folder: Path, tmp_path: Path) -> None:
    save_clip(folder / "<script>alert(1)<" / "b&<i>.npz", standing(speed=0.4))
    (folder / "bad<b>.npz").write_bytes(b"PK\x03\x04")
    result = evaluate([folder], SERIAL)
    text, tags = parsed(write_evaluation_page(tmp_path / "page.html", result))
    assert [a for a in tags.addresses if not a.startswith(("data:", "#"))] == []
    assert not re.search(r"url\(|@import|https?://(?!www\.w3\.org)", text.split("<main>")[0])
    assert tags.tags["script"] == 1
    assert "alert(1)" not in re.sub(r"&lt;script&gt;alert\(1\)", "", text)
    assert "b&amp;&lt;i&gt;" in text
    assert "bad&lt;b&gt;.npz" in text
    for words in ("surface", "On the joints", "clean mocap walk", "frozen pose", "50 mm/s", result.body_hash, "mujoco"):
        assert words in text
    assert tags.tags["img"] == 7  # six of the surface, the joints' one


@pytest.mark.slow
def test_page_fits_a_phone(folder: Path, tmp_path: Path, fits_a_phone: Callable[[Path], None]) -> None:
    save_clip(folder / f"{'a_person_walks_' * 9}.npz", standing(speed=0.4))
    (folder / f"{'bad' * 40}.npz").write_bytes(b"PK")
    fits_a_phone(write_evaluation_page(tmp_path / "page.html", evaluate([folder], SERIAL)))


def test_page_table_is_cut_and_says_so(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("morphloop.metrics.report.page.TABLE_ROWS", 2)
    monkeypatch.setattr("morphloop.metrics.report.page.WORST", 1)
    text, tags = parsed(write_evaluation_page(tmp_path / "page.html", evaluate([folder], SERIAL)))
    assert "The worst 2 of 5 clips" in text
    assert "holds all 5" in text
    assert tags.tags["img"] == 2
    assert text.count("<td title=") == 2


def test_a_clip_that_cannot_be_drawn_says_why(folder: Path, tmp_path: Path) -> None:
    result = evaluate([folder], SERIAL)
    for file in folder.iterdir():
        file.unlink()
    text, tags = parsed(write_evaluation_page(tmp_path / "page.html", result))
    assert "img" not in tags.tags
    assert text.count("No picture: ") == 6
    assert "no such file" in text


def test_page_that_fails_leaves_the_old_one(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = tmp_path / "page.html"
    page.write_text("old")
    monkeypatch.setattr("morphloop.metrics.report.page.template", lambda source: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write_evaluation_page(page, evaluate([folder], SERIAL))
    assert page.read_text() == "old"
    assert list(tmp_path.glob(".page*")) == []
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    with pytest.raises(MotionError, match="cannot write"):
        Evaluate(paths=(folder,), html=blocked / "page.html").run()


def test_timeline_marks_the_frames_that_slide_float_and_sink() -> None:
    half = standing(61)
    root = half.root_pos.copy()
    root[31:, 0] += 0.2 * np.arange(30) / 30.0
    sliding = str(timeline_html(timeline(replace(half, root_pos=root))))
    seen = timeline(replace(half, root_pos=root))
    fast = np.nan_to_num(seen.slide_speed[:, 0]) > SLIDE_FAST
    widths = [int(width) for width in re.findall(r'class="slides" x="\d+" width="(\d+)"', sliding)]
    assert fast.any()
    assert sum(widths) == fast.sum() + (np.nan_to_num(seen.slide_speed[:, 1]) > SLIDE_FAST).sum()
    assert 'class="sinks"' not in sliding
    assert 'class="hangs" x="0" width="61"' in str(timeline_html(timeline(standing(61, up=0.05))))
    assert 'class="sinks" x="0" width="61"' in str(timeline_html(timeline(standing(61, up=-0.03))))
    assert "<b>after</b>" in str(timeline_html(timeline(half), "after"))


def test_every_clip_is_in_its_distribution() -> None:
    values = np.concatenate([np.zeros(60), np.linspace(0.0, 30.0, 39), [1e6]])
    svg = distribution("slide", values, [Marker("clean", 14.0), Marker("frozen", None)], np.zeros(0))
    heights = np.array([float(h) for h in re.findall(r'class="bin"[^>]* height="([\d.]+)"', svg)])
    shares = (heights / heights.max()) ** 2  # bars grow with the root of the count
    assert shares.sum() == pytest.approx(100 / np.histogram(values, np.linspace(0.0, 40.0, 29))[0].max(), rel=0.05)
    assert beyond(values, [Marker("clean", 14.0)]) == 1
    assert svg.count('<line class="clean"') == 1
    assert '<line class="frozen"' not in svg
    few = distribution("slide", values[:7], [], values[90:95])
    assert few.count('class="dot"') == 7
    assert few.count('<circle class="was"') == 5


@pytest.mark.parametrize(("low", "high"), [(0.0, 0.37), (-12.0, 5.0), (0.0, 999.0), (0.0, 0.0)])
def test_axes_hold_what_they_show(low: float, high: float) -> None:
    start, stop, step = nice_range(low, high)
    assert start <= low <= high <= stop
    assert 2 <= round((stop - start) / step) <= 8


def test_reference_stands_as_before(tmp_path: Path) -> None:
    save_clip(tmp_path / "reference" / "clip.npz", standing(up=0.05))
    save_clip(tmp_path / "in" / "clip.npz", standing())
    paths = (tmp_path / "in",)
    command = Evaluate(
        paths=paths, reference=tmp_path / "reference", json=tmp_path / "a.json", html=tmp_path / "a.html"
    )
    assert command.run() == 0
    found = json.loads((tmp_path / "a.json").read_text())
    assert found["clips"][0]["before"]["float_mean_mm"] == pytest.approx(50.0, abs=1e-3)
    assert found["before"]["surface"]["change"]["float_mean_mm"]["mean"] == pytest.approx(-50.0, abs=1e-3)
    text = (tmp_path / "a.html").read_text()
    assert "<b>before</b>" in text
    assert "clip, before beside after" in text
    (frames,) = videos(text, tmp_path)
    before, after = halves(frames[0])
    assert lowest_foot(before) < lowest_foot(after), "what floated 50 mm stands on the ground"


def test_a_projection_brings_its_own_before(tmp_path: Path) -> None:
    source = standing(up=0.05)
    parent = Provenance(parent=replace(source).id, stage="project")
    stranger = Provenance(parent="0123456789abcdef", stage="project")
    for name, provenance in (("own", parent), ("other", stranger)):
        save_clip(tmp_path / "out" / "sources" / f"{name}.npz", source)
        save_clip(tmp_path / "out" / "references" / f"{name}.npz", source)
        save_clip(tmp_path / "out" / "clips" / f"{name}.npz", replace(standing(), provenance=provenance))
    result = evaluate([tmp_path / "out"], SERIAL)
    rows = {row["name"]: row for row in result.rows.rows("surface")}
    assert set(rows) == {"own", "other"}
    assert rows["own"]["before"]["float_mean_mm"] == pytest.approx(50.0, abs=1e-3)
    assert "before" not in rows["other"]
    assert result.change("surface")["float_mean_mm"]["mean"] == pytest.approx(-50.0, abs=1e-3)


def videos(text: str, tmp_path: Path) -> list[np.ndarray]:
    """Frames (T, height, width, 3) of every video inside of a page."""
    found = []
    for data in re.findall(r'src="data:video/mp4;base64,([^"]+)"', text):
        path = tmp_path / "shown.mp4"
        path.write_bytes(base64.b64decode(data))
        found.append(np.stack([frame for frame in imageio.get_reader(path)]))  # it tells no length
    return found


def halves(frame: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What is drawn on the left and on the right of a frame."""
    middle = frame.shape[1] // 2
    return frame[:, :middle], frame[:, middle:]


def lowest_foot(picture: np.ndarray) -> int:
    """The lowest row that has the colour of a leg, which the ground has not."""
    warm = picture[..., 0].astype(int) - picture[..., 2]
    return int(np.flatnonzero((warm > 60).any(axis=1)).max())


def two_batches(tmp_path: Path) -> tuple[Path, Path]:
    """Ten pairs whose slide falls by 50 to 95 mm/s, one clip more on either side, one of another variant."""
    for number in range(10):
        save_clip(tmp_path / "a" / f"{number}.npz", standing(speed=0.1 + 0.005 * number))
        save_clip(tmp_path / "b" / f"{number}.npz", standing(speed=0.05))
    save_clip(tmp_path / "a" / "lonely.npz", standing())
    save_clip(tmp_path / "b" / "single.npz", standing())
    save_clip(tmp_path / "a" / "mixed.npz", standing())
    save_clip(tmp_path / "b" / "mixed.npz", JointTrack(30.0, HUMANML3D_JOINTS, standing().positions[:, :22]))
    for copy in ("x", "y"):
        save_clip(tmp_path / "a" / copy / "twice.npz", standing())
    save_clip(tmp_path / "b" / "twice.npz", standing())
    return tmp_path / "a", tmp_path / "b"


def test_compare_pairs_by_name(tmp_path: Path) -> None:
    a, b = two_batches(tmp_path)
    found = compare(evaluate([a], SERIAL), evaluate([b], SERIAL))
    change = found.change("surface")["slide_mean_mm_s"]
    before, after = found.values("surface", "slide_mean_mm_s")
    assert len(before) == 10
    assert change["mean"] == pytest.approx(-72.5, abs=0.5)
    assert change["mean"] == pytest.approx((after - before).mean())
    assert change["ci95"] is not None
    assert -82.0 < change["ci95"][0] < -72.5 < change["ci95"][1] < -63.0
    unpaired = found.unpaired
    assert (unpaired.only_a, unpaired.only_b) == (["lonely"], ["single"])
    assert (unpaired.other_variant, unpaired.twice) == (["mixed"], ["twice"])


def test_compare_in_both_forms_writes_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, b = two_batches(tmp_path)
    flags = ["--no-wrench", "--workers", "0", "--json"]
    page = ["--html", str(tmp_path / "page.html")]
    assert main(["evaluate", str(a), "--compare", str(b), *page, *flags, str(tmp_path / "one.json")]) == 0
    out = capsys.readouterr().out
    assert main(["evaluate", "--compare", str(a), str(b), *flags, str(tmp_path / "two.json")]) == 0
    found, other = (json.loads((tmp_path / f"{name}.json").read_text()) for name in ("one", "two"))
    config, own = found.pop("config"), other.pop("config")
    assert found == other
    assert {name for name in config if config[name] != own[name]} <= {"paths", "compare", "html", "json"}
    assert found["compare"]["pairs"] == {"surface": 10}
    assert found["compare"]["change"]["surface"]["slide_mean_mm_s"]["mean"] == pytest.approx(-72.5, abs=0.5)
    assert found["compare"]["unpaired"]["only_a"] == {"count": 1, "names": ["lonely"]}
    assert len(found["clips"]) == 14
    assert len(found["clips_b"]) == 13
    assert "better" in out
    assert "lonely" in out
    text = (tmp_path / "page.html").read_text()
    assert "B against A" in text
    assert "only in" in text


WRONG_RATE = "of as many frames, as of a rate read wrong (--fps)"


def one_read_too_fast(tmp_path: Path) -> tuple[Path, Path]:
    """Three clips of two seconds, and the same in a second folder: one as it is, one at 20 fps, whose figures are the
    same, and one whose 30 frames a second were taken for 60, so that it is half as long and twice as fast."""
    right, other = tmp_path / "right", tmp_path / "other"
    clip = standing(frames=61, speed=0.1)
    for name, moved in {"same": clip, "slower": clip.resampled(20.0), "wrong": replace(clip, fps=60.0)}.items():
        save_clip(right / f"{name}.npz", clip)
        save_clip(other / f"{name}.npz", moved)
    return right, other


@pytest.mark.parametrize("how", ["compare", "reference"])
def test_a_clip_that_was_read_at_the_wrong_rate_is_found(
    tmp_path: Path, how: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    right, other = one_read_too_fast(tmp_path)
    table, page = tmp_path / "a.json", tmp_path / "a.html"
    flags = ["--no-wrench", "--workers", "0", "--json", str(table), "--html", str(page)]
    assert main(["evaluate", str(other), f"--{how}", str(right), *flags]) == 0
    names = {"compare": ("A", "B"), "reference": ("clip", "reference")}[how]
    said = f"2 of 3 pairs differ, 1 in length, 2 in frame rate, 1 {WRONG_RATE}: wrong {names[0]} 1.00 s at 60 fps, "
    said += f"{names[1]} 2.00 s at 30; slower {names[0]} 2.00 s at 20 fps, {names[1]} 2.00 s at 30"
    assert said in " ".join(capsys.readouterr().out.split())
    assert said in " ".join(page.read_text().split())
    found = json.loads(table.read_text())
    told = found["compare"]["apart"] if how == "compare" else found["reference"]
    assert (told["length"], told["fps"], told["same_frames"]) == (1, 2, 1)
    assert [pair["name"] for pair in told["pairs"]] == ["wrong", "slower"]
    assert told["pairs"][0]["fps"] == [60.0, 30.0]
    assert told["pairs"][0]["seconds"] == [1.0, 2.0]


def test_pairs_of_one_rate_and_length_are_not_remarked_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    right, _ = one_read_too_fast(tmp_path)
    for how in ("compare", "reference"):
        assert main(["evaluate", str(right), f"--{how}", str(right), "--no-wrench", "--workers", "0"]) == 0
        assert "differ" not in capsys.readouterr().out


@pytest.mark.slow
def test_page_of_a_comparison_fits_a_phone(tmp_path: Path, fits_a_phone: Callable[[Path], None]) -> None:
    a, b = two_batches(tmp_path)
    for batch in (a, b):
        shutil.copy(batch / "8.npz", batch / f"{'a_person_walks_' * 9}.npz")
    found = compare(evaluate([a], SERIAL), evaluate([b], SERIAL))
    fits_a_phone(write_evaluation_page(tmp_path / "page.html", found.a, found))


def test_the_pairs_that_changed_most_are_shown_side_by_side(tmp_path: Path) -> None:
    a, b = two_batches(tmp_path)
    found = compare(evaluate([a], SERIAL), evaluate([b], SERIAL))
    (a / "8.npz").unlink()
    ticks: list[tuple[int, int]] = []
    page = write_evaluation_page(
        tmp_path / "page.html", found.a, found, lambda label, done, total: ticks.append((done, total))
    )
    text = page.read_text()
    assert "The 4 of 10 pairs that changed most" in text
    shown = text.split("pairs that changed most")[1].split("On the body")[0]
    assert re.findall(r"<h3>(\d)</h3>", shown) == ["9", "8", "7", "6"], "those whose slide fell most"
    assert "8.npz: no such file" in shown.split("No video: ")[1]
    assert "<b>50" in shown, "beside it what B slides, mm/s"
    moving = videos(shown, tmp_path)
    assert [len(frames) for frames in moving] == [16, 16, 16], "a second at 15 frames a second, and its end"
    for frames in moving:
        left, right = halves(frames[-1])
        assert left.std() > 5.0
        assert right.std() > 5.0
        assert np.abs(left.astype(float) - right).mean() > 0.1, "one slides, the other hardly"
    assert ticks[-1][0] == ticks[-1][1], "the bar ends when the page does"


def test_nothing_that_pairs_up_is_told_and_no_success(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for side in ("a", "b"):
        save_clip(tmp_path / side / f"{side}.npz", standing())
    assert main(["evaluate", str(tmp_path / "a"), "--compare", str(tmp_path / "b"), "--workers", "0"]) == 2
    assert capsys.readouterr().err == "morphloop: no clip of A pairs with one of B, expected one name and variant\n"


@pytest.mark.parametrize(
    "args",
    [("--compare", "x"), ("a", "--compare", "b", "c"), ("--compare", "a", "b", "c"), (), ("a", "--workers", "-1")],
)
def test_wrong_use_is_one_line(args: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", *args]) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


def test_unknown_body_and_missing_paths_are_one_line(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", str(folder), "--body", str(folder / "none.xml")]) == 2
    assert "none.xml" in capsys.readouterr().err
    assert main(["evaluate", str(folder / "absent")]) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


def test_no_wrench_leaves_it_out(folder: Path) -> None:
    with_wrench = evaluate([folder / "sinks.npz"], EvaluateConfig(workers=0))
    without = evaluate([folder / "sinks.npz"], SERIAL)
    name = "residual_wrench_ratio"
    assert next(with_wrench.rows.rows("surface"))["metrics"][name] == measure(standing(up=-0.03)).values[name]
    assert next(without.rows.rows("surface"))["metrics"][name] is None


@pytest.mark.parametrize("width", [80, 140])
def test_tables_fit_the_terminal(folder: Path, width: int, capsys: pytest.CaptureFixture[str], monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    assert Evaluate(paths=(folder,), workers=0, wrench=False).run() == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(len(line) for line in lines) <= width
    assert sum("variant surface" in line for line in lines) == 1
    assert sum("variant joints" in line for line in lines) == 1
    assert any("floats" in line and "hangs" in line for line in lines)
