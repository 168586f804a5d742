"""The pictures of README.md and docs/look.md, made anew.

    python benchmarks/browser/pictures.py --out WORK [--docs docs]

Eight clips of the built-in corpus with faults of known size go through `morphloop project`; WORK keeps them, and a
second call projects nothing. The first is drawn moving before and after physics, and the page of `morphloop view` is
opened in headless chromium, in the window of a laptop and in that of a phone.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from chromium import Browser, find_chromium

from morphloop.cli import main as morphloop
from morphloop.motion import Clip, make_corpus, save_clip

DRAWN = "gl && !state.dirty && canvas.width > 100 && cache.has(state.here)"
COUNT = 8
WINDOWS = {"view.png": (1366, 768, 1.0), "view_phone.png": (390, 844, 2.0)}
PLACE = "clip=0&t=1"
"""Where the page is opened: the first clip, at a second."""


def faulty_clips() -> list[Clip]:
    """A walk that is sunk in and drifts, then a clip of every other action with faults, `COUNT` in all."""
    clips = make_corpus(120, seed=3, split="test", defects=True)
    spoilt = [clip for clip in clips if clip.provenance.notes["defects"]]
    walks = [clip for clip in spoilt if clip.provenance.notes["action"] == "walk_backward"]
    walk = next(clip for clip in walks if {"drift", "penetration"} <= set(clip.provenance.notes["defects"]))
    others = {clip.provenance.notes["action"]: clip for clip in spoilt} | {"walk_backward": walk}
    return [others.pop("walk_backward"), *list(others.values())[: COUNT - 1]]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for clips, what physics made of them, the page")
    parser.add_argument("--docs", type=Path, default=Path("docs"), help="folder for the pictures")
    args = parser.parse_args()
    program = find_chromium()
    if program is None:
        parser.error("there is no chromium on this machine")
    raw, physical, page_file = args.out / "clips", args.out / "physical", args.out / "page.html"
    for number, clip in enumerate(faulty_clips()):
        save_clip(raw / f"{number}_{clip.provenance.notes['action']}.npz", clip)
    morphloop(["project", str(raw), "--out", str(physical), "--projector", "policy", "--workers", "0"])
    morphloop(["view", str(physical), "--share-html", str(page_file)])
    drawn = min((physical / "clips").glob("*.npz"))
    morphloop(["render", str(drawn), "--before", "--out", str(args.docs / "before_after.gif")])
    profile = args.out / "browser"
    profile.mkdir(exist_ok=True)
    with Browser(program, profile) as browser:
        for name, window in WINDOWS.items():
            with browser.page(f"{page_file.resolve().as_uri()}#{PLACE}", *window) as page:
                page.wait_for(f"state.frame > 0 && {DRAWN}")
                (args.docs / name).write_bytes(page.picture())
    return 0


if __name__ == "__main__":
    sys.exit(main())
