"""Raw captures at 120, 60, 30 and 20 fps: what each metric reads, nothing filtered before.

    python benchmarks/frame_rates.py FILE [FILE ...]

Prints the tables of docs/lab/frame_rates.md: frames are dropped, nothing is interpolated. Motion below 6 Hz must agree,
and `tests/test_metrics_fps.py` holds the metrics to it; a raw capture has more than that.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

from morphloop.metrics import METRICS, measure
from morphloop.metrics.defect_bench.as_fed import raw_jerk
from morphloop.motion import Clip, read_motion, to_default

RATES = (120.0, 60.0, 30.0, 20.0)


def thinned(clip: Clip, fps: float) -> Clip:
    """Every k-th frame."""
    stride = round(clip.fps / fps)
    return replace(clip, fps=fps, root_pos=clip.root_pos[::stride], rotations=clip.rotations[::stride])


def capture(path: Path) -> Clip:
    """A capture at 120 fps on the default skeleton, cut to a length that all rates share."""
    clip = to_default(read_motion(path, 120 if path.suffix == ".amc" else None), keep_floor=True)
    return clip.slice(0, (clip.num_frames - 1) // 12 * 12 + 1)


def readings(clip: Clip) -> dict[str, list[float | None]]:
    """Reading at each of `RATES` by name; `raw jerk` is the third difference of joint positions, unfiltered."""
    thin = [thinned(clip, fps) for fps in RATES]
    found = [measure(c, ground="robust").values for c in thin]
    rows = {name: [values[name] for values in found] for name in found[0]}
    return {"raw jerk": [raw_jerk(c.positions, c.fps) for c in thin]} | rows


def main() -> None:
    for path in map(Path, sys.argv[1:]):
        print(f"### {path.stem}\n\n| metric | unit | " + " | ".join(f"{fps:g} fps" for fps in RATES) + " |")
        print("|---|---|" + "---|" * len(RATES))
        for name, values in readings(capture(path)).items():
            if all(value is not None for value in values):
                unit = METRICS[name].unit if name in METRICS else "m/s3"
                print(f"| {name} | {unit} | " + " | ".join(f"{value:.3g}" for value in values) + " |")
        print()


if __name__ == "__main__":
    main()
