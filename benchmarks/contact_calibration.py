"""Contact and slide on clean captures: what the thresholds were calibrated on, and what they give on clips held out.

    python benchmarks/contact_calibration.py DATA UNPACKED

DATA is the folder of development data, UNPACKED what its `tools/unpack_data.py` wrote (`cmu`, `asap`, `bandai_namco`).
Prints the tables of docs/lab/contact.md and the control of `metrics/controls.py`. A capture's
feet do not slide, so where a foot of it moves slower than 0.2 m/s within 60 mm of the floor it stands: that is the
truth that contact by height is compared with. It is no definition for general use, for it asks the very speed that
slide measures. CMU's floors are tilted by up to 17 mm a metre; `levelled` takes out the line that the standing feet
show along the path.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy.stats import theilslopes

from morphloop.base.runs import keep_long
from morphloop.metrics.contact import SHORTEST_S, SLIDE_FAST, find_contacts, slide
from morphloop.metrics.controls import clean_walk
from morphloop.metrics.defect_bench.as_fed import NAIVE_BAND_M, naive_slide
from morphloop.metrics.points import Points, ground_offset, joint_points, surface_points
from morphloop.metrics.signals import GRID_HZ, on_grid, velocity
from morphloop.motion import HUMANML3D_JOINTS, Clip, JointTrack, read_motion, to_default
from morphloop.sim import default_body

STANDING_SPEED, STANDING_HEIGHT = 0.2, 0.06
BANDAI = "dataset-2_walk_normal"
BODY = default_body()


@dataclass(frozen=True)
class Case:
    """A clean capture on the default skeleton, as its file's floor has it."""

    name: str
    group: str
    clip: Clip


def feet_heights(points: Points) -> np.ndarray:
    """(T', 2) height of each foot's lowest point on the 30 Hz grid, metres."""
    heights = on_grid(points.heights, points.fps)
    return np.stack([heights[:, points.foot == foot].min(axis=1) for foot in (0, 1)], axis=1)


def standing(points: Points, below: float = STANDING_HEIGHT) -> np.ndarray:
    """(T', 2) bool: some point of the foot is slow and low, for a tenth of a second or longer."""
    feet = []
    for foot in (0, 1):
        own = np.flatnonzero(points.foot == foot)
        at = on_grid(points.track(own), points.fps)
        slow = np.linalg.norm(velocity(at)[..., :2], axis=-1) < STANDING_SPEED
        stands = (slow & (at[..., 2] - points.radius[own] < below)).any(axis=1)
        feet.append(keep_long(stands, round(SHORTEST_S * GRID_HZ)))
    return np.stack(feet, axis=1)


def levelled(clip: Clip) -> tuple[Clip, float]:
    """The clip without the slope of its floor along its path (Theil and Sen), and that slope, metres a metre."""
    points = surface_points(clip, BODY)
    points = points.lowered(ground_offset(points, "robust"))
    path = clip.root_pos[:, :2] - clip.root_pos[:, :2].mean(axis=0)
    along = np.linalg.svd(path, full_matrices=False)[2][0]
    feet = on_grid(clip.positions[:, [clip.skeleton.index(f"{side}_foot") for side in ("left", "right")]], clip.fps)
    stands, heights = standing(points, below=0.1), feet_heights(surface_points(clip, BODY))
    place, height = (feet[..., :2] @ along)[stands], heights[stands]
    slope, level = np.asarray(theilslopes(height, place))[:2].tolist()
    drop = np.zeros_like(clip.root_pos)
    drop[:, 2] = slope * (clip.root_pos[:, :2] @ along) + level
    return replace(clip, root_pos=clip.root_pos - drop), slope


def naive_sliding(points: Points) -> float | None:
    """Share of the steps in contact of `naive_slide` that are faster than 50 mm/s."""
    which, frames = points.heights.argmin(axis=1), np.arange(points.num_frames)
    place = points.track(np.arange(len(points.joint)))[frames, which]
    low = points.lowest < NAIVE_BAND_M
    both = low[1:] & low[:-1]
    fast = np.linalg.norm(np.diff(place[:, :2], axis=0), axis=-1) * points.fps > SLIDE_FAST
    return float(fast[both].mean()) if both.any() else None


def agreement(found: np.ndarray, true: np.ndarray) -> tuple[float, float, float]:
    """Share of samples that agree, precision and recall of bool arrays of one shape; NaN where undefined."""
    both = float((found & true).sum())
    precision = both / found.sum() if found.any() else np.nan
    return float((found == true).mean()), float(precision), both / true.sum() if true.any() else np.nan


def number(value: float | None, digits: int = 0) -> str:
    return "-" if value is None or np.isnan(value) else f"{value:.{digits}f}"


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A markdown table."""
    head = list(head)
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows]) + "\n"


def clean_walks(data: Path, unpacked: Path) -> list[Case]:
    """CMU's and DeepMimic's walks with their side of the frozen split, and Bandai Namco's normal walks."""
    splits = json.loads((data / "splits.json").read_text())
    trials = [("cmu", n, unpacked / "cmu" / f"{n}.amc") for n in ("02_01", "02_02")]
    trials.append(("cmu_bvh", "12_01", data / "cmu" / "bvh" / "12_01.bvh"))
    walks = ("walk", "long_walk1", "long_walk2", "long_walk3")
    trials += [("deepmimic", f"humanoid3d_{n}", data / "deepmimic" / f"humanoid3d_{n}.npz") for n in walks]
    cases = [Case(name, splits[part][name]["split"], read(path)) for part, name, path in trials]
    rows = [json.loads(line) for line in (data / "bandai_namco" / "captions.jsonl").read_text().splitlines()]
    for row in rows:
        if row["name"].startswith(BANDAI):
            side = "train" if row["split"] == "train" else "test"
            cases.append(Case(row["name"], side, read(unpacked / "bandai_namco" / f"{row['name']}.bvh")))
    return cases


def read(path: Path) -> Clip:
    """A file on the default skeleton, its floor where the file has it."""
    return to_default(read_motion(path, 120 if path.suffix == ".amc" else None), keep_floor=True)


def walk_row(case: Case) -> tuple[list[float | None], tuple[np.ndarray, np.ndarray]]:
    """Figures of `WALK_HEAD` for one walk, and contact found and true on the levelled floor."""
    clip, slope = levelled(case.clip)
    points, flat = surface_points(case.clip, BODY), surface_points(clip, BODY)
    points = points.lowered(ground_offset(points, "robust"))
    found, level = find_contacts(points), find_contacts(flat)
    figures = [1e3 * slope, naive_sliding(flat), naive_slide(flat)]
    for contacts in (found, level):
        values = slide(contacts)
        figures += [values["slide_ratio"], values["slide_mean_mm_s"]]
    pair = level.group_touching()[:, :2], standing(flat)
    return [*figures, *agreement(*pair)], pair


WALK_HEAD = ("walk", "split", "floor, mm/m", "naive: share sliding", "naive, mm/s", "ours, robust: share sliding",
             "mm/s", "ours, levelled: share sliding", "mm/s", "contact agrees", "precision", "recall")  # fmt: skip
WALK_DIGITS = (1, 2, 0, 2, 0, 2, 0, 2, 2, 2)


def walks_table(cases: list[Case]) -> str:
    """The clean walks, Bandai Namco's as medians of each side of the split."""
    rows, many = [], {"train": [], "test": []}
    for case in cases:
        figures, _ = walk_row(case)
        if case.name.startswith(BANDAI):
            many[case.group].append([np.nan if f is None else f for f in figures])
        else:
            rows.append((case.name, case.group, figures))
    for side, figures in many.items():
        rows.append((f"Bandai walks, median of {len(figures)}", side, list(np.nanmedian(figures, axis=0))))
    return table(
        WALK_HEAD,
        [[name, side, *map(number, figures, WALK_DIGITS)] for name, side, figures in rows],
    )


def joints_table(data: Path, unpacked: Path, cases: list[Case]) -> str:
    """Contact and slide of joints against those of the surface they lie in, by set and side of the split."""
    splits = json.loads((data / "splits.json").read_text())
    rows = []
    for side in ("train", "test"):
        flat = [n for n, row in splits["cmu"].items() if row["split"] == side and not row["props"]]
        asap = [n for n, row in splits["asap_video_smpl"].items() if row["split"] == side]
        sets = {
            "CMU, no props": [read(unpacked / "cmu" / f"{n}.amc") for n in flat],
            "video-estimated": [read(unpacked / "asap" / f"{n}.npz") for n in asap],
            "Bandai walks": [case.clip for case in cases if case.name.startswith(BANDAI) and case.group == side],
        }
        for name, clips in sets.items():
            for lowest in (False, True):
                floor = "lowest joint on the floor" if lowest else "soles on the floor"
                rows.append([f"{name} ({len(clips)})", side, floor, *joints_row(clips, lowest)])
    head = ("set", "split", "joints with", "contact agrees", "precision", "recall", "slide mm/s: joints", "surface")
    return table(head, rows)


def joints_row(clips: list[Clip], lowest: bool) -> list[str]:
    """Agreement, precision, recall and median slide of 22 joints and of the surface, ground `robust`."""
    found, true, slides = [], [], []
    for clip in clips:
        surface = surface_points(clip, BODY)
        offset = ground_offset(surface, "robust")
        contacts = find_contacts(surface.lowered(offset))
        joints = clip.positions[:, : len(HUMANML3D_JOINTS)]
        down = joints[..., 2].min() if lowest else offset
        track = JointTrack(clip.fps, HUMANML3D_JOINTS, joints - [0.0, 0.0, down])
        alone = find_contacts(joint_points(track, BODY))
        found.append(alone.group_touching()[:, :2])
        true.append(contacts.group_touching()[:, :2])
        slides.append([slide(c)["slide_mean_mm_s"] for c in (alone, contacts)])
    medians = np.nanmedian(np.array(slides, dtype=float), axis=0)
    shares = agreement(np.concatenate(found), np.concatenate(true))
    return [number(share, 2) for share in shares] + [number(m) for m in medians]


def pinned_table(data: Path) -> str:
    """Our contact on the walk that pybvh's contacts are pinned on, against its nine settings."""
    pins = np.load(data / "metric_refs" / "foot_contacts_pinned.npz", allow_pickle=False)
    clip = read(data / "metric_refs" / "cmu_12_01_walk.bvh")
    dropped = len(pins["run1/contacts"]) - clip.num_frames
    flat, _ = levelled(clip)
    ours = {name: find_contacts(surface_points(c, BODY)) for name, c in (("as-is", clip), ("levelled", flat))}
    at = np.minimum(np.rint(np.arange(clip.num_frames) * GRID_HZ / clip.fps).astype(int), len(ours["as-is"].height) - 1)
    rows = []
    for k, setting in enumerate(json.loads(str(pins["meta"]))["runs"], 1):
        pinned = pins[f"run{k}/contacts"][dropped:].astype(bool)
        if str(pins[f"run{k}/joints"][0]).startswith("Right"):
            pinned = pinned[:, ::-1]
        row = [setting, number(float(pinned.mean()), 2)]
        for contacts in ours.values():
            row += [number(share, 2) for share in agreement(contacts.group_touching()[at][:, :2], pinned)]
        rows.append(row)
    truth = standing(surface_points(flat, BODY))[at]
    row = ["(feet that stand still, see above)", number(float(truth.mean()), 2)]
    for contacts in ours.values():
        row += [number(share, 2) for share in agreement(contacts.group_touching()[at][:, :2], truth)]
    head = ["setting of pybvh 0.9.0", "in contact"]
    for name in ours:
        head += [f"{name}: agrees", "precision", "recall"]
    return table(head, [*rows, row])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("unpacked", type=Path)
    args = parser.parse_args()
    cases = clean_walks(args.data, args.unpacked)
    print("## Clean walks\n\n" + walks_table(cases))
    print("## Joints against the surface\n\n" + joints_table(args.data, args.unpacked, cases))
    print("## Pinned contacts\n\n" + pinned_table(args.data))
    walks = [case.clip for case in cases if case.name.startswith(BANDAI)]
    print("## The control of `metrics/controls.py`\n\n" + json.dumps(clean_walk(walks), indent=4))


if __name__ == "__main__":
    main()
