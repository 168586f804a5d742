"""`morphloop view`: what it finds, what it tells the page, the page in a real browser, the server, bad input."""

from __future__ import annotations

import base64
import http.client
import json
import os
import pickle
import re
import shutil
import signal
import socket
import threading
import urllib.request
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import mujoco
import numpy as np
import pytest
from chromium import Browser, Page
from PIL import Image

from morphloop.cli import main, view, view_server
from morphloop.metrics.viewer.entries import Bodies, Entry, find_entries
from morphloop.metrics.viewer.page import row_of, viewer_html
from morphloop.metrics.viewer.scene import LEFT, RIGHT, clip_scene, key_figures, mesh_payload
from morphloop.motion import Clip, JointTrack, make_corpus, save_clip
from morphloop.motion.config import AS_FILES_SAY
from morphloop.sim import default_body, load_body

DRAWN = "gl && !state.dirty && canvas.width > 100 && cache.has(state.here)"
"""True in the page as soon as what was asked for is on the stage."""


@pytest.fixture(scope="module")
def projected(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as `project` leaves it: two clips, one of them rejected, each with its source."""
    place = tmp_path_factory.mktemp("run") / "projected"
    for folder in ("clips", "sources", "records"):
        (place / folder).mkdir(parents=True)
    (place / "config.json").write_text(json.dumps({"projection": {}, "selection": {}, "body": None}))
    clip = make_corpus(1, seed=2)[0].slice(0, 30)
    for name, verdict, reason in (("walk", "accepted", None), ("fall", "rejected", "fell")):
        lifted = clip.moved(np.array([0.0, 0.0, 0.08 if reason else 0.0]))
        save_clip(place / "clips" / f"{name}.npz", lifted)
        save_clip(place / "sources" / f"{name}.npz", clip.moved(np.array([0.0, 0.0, -0.02])))
        record = {"name": name, "verdict": verdict, "reason": reason, "detail": "at 0.5 s" if reason else None}
        (place / "records" / f"{name}.json").write_text(json.dumps(record | {"after": {"float_mean_mm": 1.0}}))
    return place


@pytest.fixture(scope="module")
def shared(projected: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shared page of that folder, its list filled up with as many clips as no page of it holds."""
    bodies, failed = Bodies(), []
    entries = find_entries([projected], None, failed)
    rows = [row_of(entry, key_figures(entry, bodies)) for entry in entries]
    rows += [row_of(entries[0], {"float_mean_mm": float(k)}) | {"name": f"clip{k}"} for k in range(2, 250)]
    scenes = {number: clip_scene(entry, bodies) for number, entry in enumerate(entries)}
    out = tmp_path_factory.mktemp("page") / "page.html"
    out.write_text(viewer_html("run <b>&</script>", "told", rows, scenes))
    return out


def numbers(text: str, kind: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), kind)


def said(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return capsys.readouterr().err.splitlines()


def test_a_projected_folder_and_a_run_open_as_they_are(projected: Path, tmp_path: Path):
    failed: list[dict[str, str]] = []
    entries = find_entries([projected], None, failed)
    assert [(e.name, e.verdict, e.reason) for e in entries] == [
        ("fall", "rejected", "fell, at 0.5 s"),
        ("walk", "accepted", None),
    ]
    assert set(entries[0].sides) == {"before"}
    for number in (0, 1):
        shutil.copytree(projected, tmp_path / "run" / f"round_0{number}" / "project")
    rounds = find_entries([tmp_path / "run"], None, failed)
    assert [entry.name for entry in rounds] == [f"round_0{n}/{name}" for n in (0, 1) for name in ("fall", "walk")]
    assert failed == []


def test_places_are_the_clips_own(projected: Path):
    (entry,) = find_entries([projected / "clips" / "walk.npz"], None, [])
    scene = clip_scene(entry, Bodies())
    side, body = scene.clip["sides"]["clip"], default_body()
    places = numbers(side["places"], "<i2").reshape(side["frames"], side["parts"], 7)
    where = places[..., :3] * side["unit"] + side["middle"]
    clip = make_corpus(1, seed=2)[0].slice(0, 30)
    assert np.abs(where[:, body.body_ids - 1] - clip.positions).max() < 0.001
    assert np.abs(np.linalg.norm(places[..., 3:] / 32767, axis=-1) - 1).max() < 1e-3
    flags = numbers(side["line"]["flags"], "u1")
    assert len(flags) == side["frames"]
    assert (flags & 3).any(), "feet touch"
    assert side["line"]["worst"]["slide"][1] >= 0
    parts = scene.bodies[side["body"]]
    assert {shape["foot"] for shape in parts["shapes"]} == {0, LEFT, RIGHT}


def test_tracks_are_bones_and_robots_have_soles(tmp_path: Path):
    clip = make_corpus(1, seed=2)[0].slice(0, 8)
    save_clip(tmp_path / "joints.npz", JointTrack(clip.fps, clip.skeleton.names, clip.positions))
    g1 = load_body("g1")
    robot = g1.clip_from_qpos(np.tile(g1.model.qpos0, (8, 1)), 50.0).with_provenance(notes={"robot": "g1"})
    save_clip(tmp_path / "robot.npz", robot)
    track, standing = (clip_scene(entry, Bodies()) for entry in find_entries([tmp_path], None, []))
    (bones,) = track.bodies.values()
    assert {shape["kind"] for shape in bones["shapes"]} == {"bone"}
    assert len(bones["shapes"]) == clip.skeleton.num_joints - 1
    (parts,) = standing.bodies.values()
    assert [s["kind"] for s in parts["shapes"] if s["foot"]].count("box") == 2
    assert standing.clip["source_fps"] == 50.0
    assert standing.clip["sides"]["clip"]["frames"] == 5


def test_a_fine_mesh_becomes_its_hull_seen_from_outside():
    points = np.random.default_rng(0).normal(size=(1200, 3))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    vertices = " ".join(f"{v:.6f}" for v in points.ravel())
    model = mujoco.MjModel.from_xml_string(
        f'<mujoco><asset><mesh name="m" vertex="{vertices}"/></asset><worldbody><body><geom type="mesh" mesh="m"/>'
        "</body></worldbody></mujoco>"
    )
    found = mesh_payload(model, 0)
    corners = numbers(found["points"], "<f4").reshape(-1, 3)
    a, b, c = (corners[f] for f in numbers(found["faces"], "<u2").reshape(-1, 3).T)
    assert len(a) > 1500
    assert (np.einsum("fj,fj->f", np.cross(b - a, c - a), a) > 0).all()


def stage(page: Page) -> np.ndarray:
    """The pixels of the stage as soon as what was asked for is drawn, (rows, columns, 3)."""
    page.wait_for(DRAWN)
    return look(page)


def look(page: Page) -> np.ndarray:
    """The pixels of the stage as its reader sees them, (rows, columns, 3)."""
    box = page.ask("canvas.getBoundingClientRect().toJSON()")
    clip = {side: box[side] for side in ("x", "y", "width", "height")}
    with Image.open(BytesIO(page.picture(clip=clip | {"scale": 1}))) as picture:
        return np.asarray(picture.convert("RGB")).astype(int)


def changed(a: np.ndarray, b: np.ndarray) -> int:
    """How many pixels differ to the eye."""
    return int((np.abs(a - b).max(axis=-1) > 24).sum())


@pytest.mark.slow
def test_in_a_browser_the_scrubber_moves_the_body(shared: Path, chromium: Browser):
    with chromium.page(shared.as_uri()) as page:
        first = stage(page)
        assert page.ask("+$('scrub').max + 1") == 30
        page.click("#scrub", 0.75)
        frame = page.wait_for("state.frame")
        assert 20 <= frame <= 24
        assert page.ask("$('clock').value") == f"{frame / 30:.2f} s"
        second = stage(page)
        assert changed(first, second) > 500
        assert changed(second, stage(page)) == 0, "nothing moves by itself"
        page.press("ArrowRight")
        page.wait_for(f"state.frame === {frame + 1}")
        page.press("o")
        page.wait_for("$('overlay').checked")
        assert changed(second, stage(page)) > 500
        page.press("3")
        page.wait_for("$('message').textContent.startsWith('worst penetration')")
        assert page.errors == []


@pytest.mark.slow
def test_in_a_browser_the_list_is_sorted_filtered_and_walked_through(shared: Path, chromium: Browser):
    with chromium.page(shared.as_uri()) as page:
        stage(page)
        assert page.ask("$('list').children.length") == 100
        assert page.ask("$('page').textContent") == "250 of 250 clips, page 1 of 3"
        page.press("ArrowDown")
        page.wait_for("document.querySelector('#list .here').textContent.startsWith('walk')")
        page.ask("$('sort').value = 'float_mean_mm', $('sort').onchange()")
        assert page.ask("$('list').children[0].textContent").startswith("clip249")
        page.click("#filter")
        for letter in "fell":
            page.press(letter)
        page.wait_for("$('page').textContent === '249 of 250 clips, page 1 of 3'")
        assert page.errors == []


@pytest.mark.slow
def test_a_shared_page_plays_without_a_network(shared: Path, chromium: Browser):
    with chromium.page(shared.as_uri()) as page:
        page.cut_off()
        still = stage(page)
        page.click("#play")
        seen = {page.wait_for("state.frame")}
        while len(seen) < 5:
            seen.add(page.wait_for(f"!{sorted(seen)}.includes(state.frame) && state.frame"))
        assert any(changed(still, look(page)) > 500 for _ in range(100)), "the body moves with the frames"
        assert page.errors == []
        assert [address for address in page.asked_for if not address.startswith("data:")] == [shared.as_uri()]


@pytest.mark.slow
def test_a_served_page_shows_a_clip_that_it_fetches(server: int, chromium: Browser):
    with chromium.page(f"http://127.0.0.1:{server}/") as page:
        first = stage(page)
        page.press("ArrowDown")
        page.wait_for("state.here === 1")
        assert changed(first, stage(page)) > 500
        assert page.errors == []
        assert {"/clip/0", "/clip/1", "/rows"} <= {urlsplit(address).path for address in page.asked_for}


@pytest.mark.slow
@pytest.mark.parametrize("size", [(1366, 768), (500, 1000), (360, 740)], ids=["laptop", "phone", "small phone"])
def test_a_screenshot_shows_a_body_and_nothing_stands_beside_the_window(
    shared: Path, chromium: Browser, size: tuple[int, int]
):
    with chromium.page(shared.as_uri(), *size) as page:
        seen = stage(page)
        colours = seen[seen.max(axis=-1) < 225]
        blue, brown = (colours[:, 2] - colours[:, 0]) > 25, (colours[:, 0] - colours[:, 2]) > 12
        assert blue.sum() > 500, "the clip"
        assert brown.sum() > 500, "what it was before"
        assert page.ask("document.documentElement.scrollWidth") <= size[0]
        assert page.errors == []


def test_a_text_ends_no_element_of_the_page(shared: Path):
    html = shared.read_text()
    assert "run &lt;b&gt;&amp;&lt;/script&gt;" in html
    assert html.count("</script>") == 2
    assert not re.findall(r"""(?:src|href)=["']?(?:https?:)?//""", html), "nothing is fetched"


def test_one_file_holds_what_can_be_read_and_names_the_rest(
    projected: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    shutil.copytree(projected / "clips", tmp_path / "mixed")
    (tmp_path / "mixed" / "broken.bvh").write_text("HIERARCHY\nnothing")
    out = tmp_path / "page.html"
    assert main(["view", str(tmp_path / "mixed"), "--share-html", str(out)]) == 2
    (line,) = said(capsys)
    assert "broken.bvh" in line
    assert out.stat().st_size > 30_000
    monkeypatch.setattr(view, "MOST_SHARED", 1)
    assert main(["view", str(projected), "--share-html", str(out)]) == 0
    assert "holds the first 1" in said(capsys)[0]


def test_of_a_file_of_many_motions_the_first_is_shown_and_that_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    motion = {"pose_aa": np.zeros((5, 72)), "trans_orig": np.zeros((5, 3)), "fps": 30}
    path, out = tmp_path / "phc.pkl", tmp_path / "page.html"
    path.write_bytes(pickle.dumps({"one": motion, "two": motion}))
    assert main(["view", str(path), "--share-html", str(out)]) == 0
    assert said(capsys) == [f"morphloop: {path}: holds 2 motions, the first is shown; name one as FILE:NAME"]
    assert main(["view", f"{path}:two", "--share-html", str(out)]) == 0
    assert said(capsys) == []


def test_a_body_that_is_gone_is_one_line(projected: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    place = tmp_path / "robot"
    shutil.copytree(projected, place)
    (place / "config.json").write_text(json.dumps({"projection": {}, "selection": {}, "body": "/gone/robot.xml"}))
    (place / "clips" / "walk.npz").unlink()
    assert main(["view", str(place), "--share-html", str(tmp_path / "x.html")]) == 2
    (line,) = said(capsys)
    assert "/gone/robot.xml: no such body" in line
    assert not (tmp_path / "x.html").exists()


@pytest.mark.parametrize("after", [5, ["x"], {"slide_mean_mm_s": "x"}, {"slide_mean_mm_s": np.nan}], ids=str)
def test_a_record_without_figures_is_measured(projected: Path, tmp_path: Path, after: Any):
    place = tmp_path / "odd"
    shutil.copytree(projected, place)
    (place / "records" / "walk.json").write_text(json.dumps({"name": "walk", "verdict": "accepted", "after": after}))
    (entry,) = (entry for entry in find_entries([place], None, []) if entry.name == "walk")
    assert entry.verdict == "accepted"
    assert key_figures(entry, Bodies())["penetration_mean_mm"] is not None


def test_nothing_to_see_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["view", str(tmp_path)]) == 2
    assert main(["view", str(tmp_path / "absent")]) == 2
    assert len(said(capsys)) == 2


def test_a_fault_at_one_clip_leaves_the_others_measured(projected: Path, monkeypatch: pytest.MonkeyPatch):
    entries = find_entries([projected], None, [])
    measured = view_server.key_figures

    def faulty(entry: Entry, *rest: Any) -> dict[str, float | None]:
        if entry is entries[0]:
            raise ValueError("two\nlines")
        return measured(entry, *rest)

    monkeypatch.setattr(view_server, "key_figures", faulty)
    viewer = view_server.Viewer("projected", entries, Bodies(), AS_FILES_SAY)
    viewer.measure(threading.Event())
    assert viewer.done
    assert viewer.measured[0]["error"] == "internal fault (ValueError: two lines)"
    assert viewer.measured[1]["metrics"]


@pytest.fixture
def server(projected: Path) -> Iterator[int]:
    """The port of a page that is served."""
    entries = find_entries([projected], None, [])
    viewer = view_server.Viewer("projected", entries, Bodies(), AS_FILES_SAY)
    served = view_server.listening(viewer, 18890)
    thread = threading.Thread(target=served.serve_forever, daemon=True)
    thread.start()
    viewer.measure(threading.Event())
    yield served.server_port
    served.shutdown()
    served.server_close()


def ask(port: int, path: str, host: str | None = None) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", path, headers={} if host is None else {"Host": host})
    answer = connection.getresponse()
    return answer.status, answer.read().decode()


def test_the_served_page_asks_for_clips_one_by_one(server: int):
    code, page = ask(server, "/")
    assert code == 200
    assert '"served":true' in page
    assert '"clips":{}' in page
    rows = json.loads(ask(server, "/rows")[1])
    assert rows["done"]
    assert rows["rows"]["0"]["metrics"]["float_mean_mm"] == 1.0
    code, found = ask(server, "/clip/1")
    assert code == 200
    assert set(json.loads(found)["clip"]["sides"]) == {"clip", "before"}
    for path in ("/clip/2", "/clip/-1", "/clip/x", "/clip/" + 5000 * "9", "/../../etc/passwd"):
        assert ask(server, path)[0] == 404
    assert ask(server, "/", host="somewhere.example:80")[0] == 403


def test_a_busy_port_is_passed_over_and_said(
    projected: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(view_server.ThreadingHTTPServer, "serve_forever", lambda self: _interrupted())
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert main(["view", str(projected), "--port", str(port)]) == 0
    told = capsys.readouterr()
    (line,) = told.err.splitlines()
    found = re.fullmatch(rf"morphloop: port {port} is busy, took (\d+)", line)
    assert found is not None
    assert told.out.startswith(f"http://127.0.0.1:{found[1]}/")


def test_a_browser_that_stays_in_the_terminal_gets_its_page(
    projected: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    """As w3m does where it is the only one: nobody would serve it, were it waited for."""
    pages: list[bytes] = []

    def stay(address: str) -> bool:
        with urllib.request.urlopen(address, timeout=20) as page:
            pages.append(page.read())
        os.kill(os.getpid(), signal.SIGINT)  # and Ctrl-C ends the server
        return True

    monkeypatch.setattr(view_server.webbrowser, "open", stay)
    monkeypatch.setenv("DISPLAY", ":99")
    assert main(["view", str(projected), "--port", "8950"]) == 0
    assert b"<canvas" in pages[0]
    assert "internal fault" not in capsys.readouterr().err


def _interrupted() -> None:
    raise KeyboardInterrupt


def test_a_clip_without_a_record_is_measured(projected: Path):
    clip: Clip = make_corpus(1, seed=2)[0].slice(0, 30)
    save_clip(projected.parent / "alone.npz", clip)
    (entry,) = find_entries([projected.parent / "alone.npz"], None, [])
    assert entry.verdict is None
    assert key_figures(entry, Bodies())["slide_mean_mm_s"] is not None
