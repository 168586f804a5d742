"""Seconds from `morphloop view` to the first frame in a browser, and frames a second of playback.

    python benchmarks/browser/view_speed.py [--clips 100] [--times 3] [--json FILE]

One clip of the built-in corpus, and a run of the loop with as many as asked for, each with what it was before; they are
laid out as `project` leaves them, without physics, which the page does not see. The command is started anew each time.
Playback is that of one clip, before and after side by side, in the window of a laptop and in that of a phone; beside
the pictures a second stands what one costs the processor, which other work on the machine does not change. WebGL is
drawn in software.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from chromium import Browser, find_chromium

from morphloop.base import write_json
from morphloop.motion import make_corpus, save_clip

DRAWN = "gl && !state.dirty && canvas.width > 100 && cache.has(state.here)"
"""True in the page as soon as its first frame is drawn."""
PLAYED_S = 8.0
WINDOWS = {"laptop, 1366 x 768": (1366, 768, 1.0), "phone, 390 x 844 at 2 dots a pixel": (390, 844, 2.0)}
PLAY = """new Promise((done) => {
  const began = performance.now();
  let pictures = 0;
  play(true);
  const look = (now) => {
    pictures++;
    if (now - began < %d) return requestAnimationFrame(look);
    play(false);
    done([pictures, (now - began) / 1000]);
  };
  requestAnimationFrame(look);
})"""


def run_of(clips: int, folder: Path) -> Path:
    """A run of one round with this many clips, each with what it was before."""
    place = folder / "round_00" / "project"
    for name in ("clips", "sources", "records"):
        (place / name).mkdir(parents=True)
    (place / "config.json").write_text(json.dumps({"projection": {}, "selection": {}, "body": None}))
    for number, clip in enumerate(make_corpus(clips, seed=0)):
        name = f"clip_{number:04d}"
        save_clip(place / "clips" / f"{name}.npz", clip)
        save_clip(place / "sources" / f"{name}.npz", clip.moved(np.array([0.0, 0.0, 0.02])))
        record = {"name": name, "verdict": "accepted", "reason": None, "after": {"float_mean_mm": 1.0 + number}}
        (place / "records" / f"{name}.json").write_text(json.dumps(record))
    return folder


def first_frame(path: Path, browser: Browser) -> dict[str, float]:
    """Seconds from the command's start until it gives its address, from then until the first frame is drawn, and those
    of a processor that the command took for it."""
    began = time.monotonic()
    words = [sys.executable, "-m", "morphloop", "view", str(path), "--no-open"]
    server = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    try:
        address = server.stdout.readline().split()[0]
        served = time.monotonic()
        with browser.page(address) as page:
            page.wait_for(DRAWN)
            drawn = time.monotonic()
            if page.errors:
                raise RuntimeError(page.errors[0])
    finally:
        server.kill()
        used = os.wait4(server.pid, 0)[2]
        server.stdout.close()
    whole = {"whole_s": drawn - began, "command_processor_s": used.ru_utime + used.ru_stime}
    return {"until_served_s": served - began, "until_drawn_s": drawn - served} | whole


def playback(page_file: Path, browser: Browser, window: tuple[int, int, float]) -> dict[str, float]:
    """Pictures a second while a page plays, and milliseconds of a processor that one takes of all of the browser."""
    with browser.page(page_file.as_uri(), *window) as page:
        page.wait_for(DRAWN)
        before = browser.processor_s()
        pictures, seconds = page.ask(PLAY % (1000 * PLAYED_S))
        used = browser.processor_s() - before
        return {"pictures_s": pictures / seconds, "processor_ms_a_picture": 1000 * used / pictures}


def medians(rows: list[dict[str, float]]) -> dict[str, float]:
    return {name: round(statistics.median(row[name] for row in rows), 2) for name in rows[0]}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=100, help="of the run")
    parser.add_argument("--times", type=int, default=3, help="each is measured so often; medians are told")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    program = find_chromium()
    if program is None:
        parser.error("there is no chromium on this machine")
    with tempfile.TemporaryDirectory() as place, Browser(program, Path(place)) as browser:
        folder, page_file = Path(place), Path(place) / "page.html"
        run = run_of(args.clips, folder / "run")
        one = run / "round_00" / "project" / "clips" / "clip_0000.npz"
        words = [sys.executable, "-m", "morphloop", "view", str(one), "--share-html", str(page_file)]
        subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
        found: dict[str, dict[str, float]] = {}

        def keep(name: str, rows: list[dict[str, float]]) -> None:
            found[name] = medians(rows)
            told = ", ".join(f"{key} {value}" for key, value in found[name].items())
            print(f"{name}: {told}; load {os.getloadavg()[0]:.1f}", flush=True)

        for name, window in WINDOWS.items():
            keep(f"playback, {name}", [playback(page_file, browser, window) for _ in range(args.times)])
        for name, path in (("1 clip", one), (f"a run of {args.clips} clips", run)):
            keep(f"first frame, {name}", [first_frame(path, browser) for _ in range(args.times)])
    if args.json:
        write_json(args.json, found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
