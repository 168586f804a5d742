"""The four sets of the imitator's bench: the corpus' test split, estimated and captured motion, outputs of published
generators, and captured motion in many styles.

All but the corpus are read from a data folder laid out as this project's development data (`splits.json`,
`asap_video_smpl`, `cmu`, `generated`, `bandai_namco`). Nothing of them is trained on. A clip that does not move is left
out and named.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from morphloop.base import MotionError
from morphloop.imitator.bench.sets import (
    CORPUS,
    CORPUS_TITLE,
    BenchSet,
    Source,
    Tick,
    corpus_set,
    moving_set,
    unwatched,
)
from morphloop.motion import read_motion, to_default
from morphloop.motion.files import read_npz

SETS = {
    CORPUS: CORPUS_TITLE,
    "B": "ASAP (video to SMPL) and CMU without props",
    "C": "T2M-GPT, MDM, GMD, OmniControl",
    "D": "Bandai Namco, test split",
}
DRAWN = {"D": 200}
"""Clips that are drawn of a larger set."""
CMU_FPS = 120.0
GENERATED = ("joints22/mdm_*.npz", "joints22/t2mgpt_*.npz", "bvh/output_gmd*.bvh", "bvh/output_omni*.bvh")
GENERATED_MDM = "bvh/outputs_prova*.bvh"
"""MDM's own BVH export."""


def data_folder(named: Path | None) -> Path | None:
    """The data folder: the one named, else that of $MORPHLOOP_SHARED, else ../shared beside the checkout; None if there
    is none. MotionError if the named one is none."""
    if named is not None:
        if not named.is_dir():
            raise MotionError(
                f"{named}: no such folder, expected one with splits.json, asap_video_smpl, cmu and others"
            )
        return named
    told = os.environ.get("MORPHLOOP_SHARED")
    shared = Path(told) if told else Path(__file__).resolve().parents[3] / "shared"
    return shared / "data" if (shared / "data").is_dir() else None


def load_set(
    letter: str,
    data: Path | None,
    seconds: float,
    limit: int | None = None,
    seed: int = 0,
    watch: Tick = unwatched,
) -> BenchSet:
    """Read a set: clips that move in their first `seconds`, in an order drawn by the seed, at most `limit` of them.

    MotionError for a letter that is none, and where the data is missing (see `missing_data`).
    """
    if letter not in SETS:
        raise MotionError(f"no set '{letter}', expected some of {', '.join(SETS)}")
    lacking = missing_data(letter, data)
    if lacking is not None:
        raise MotionError(lacking)
    if letter == CORPUS or data is None:
        return corpus_set(seconds, limit, seed, watch)
    most = min((n for n in (limit, DRAWN.get(letter)) if n is not None), default=None)
    with _sources(letter, data) as sources:
        return moving_set(letter, SETS[letter], sources, seconds, most, seed, watch)


def missing_data(letter: str, data: Path | None) -> str | None:
    """One line that says what a set needs and the folder lacks, None where it is all there."""
    if letter == CORPUS:
        return None
    needed = {
        "B": ("splits.json", "asap_video_smpl", "cmu/amc_npz", "cmu/bvh"),
        "C": ("generated/joints22", "generated/bvh"),
        "D": ("bandai_namco/captions.jsonl", "bandai_namco/dataset1.npz", "bandai_namco/dataset2.npz"),
    }[letter]
    if data is None:
        return f"set {letter} ({SETS[letter]}): no data folder, give --data"
    lacking = [name for name in needed if not (data / name).exists()]
    return f"set {letter} ({SETS[letter]}): {data} has no {', '.join(lacking)}" if lacking else None


@contextmanager
def _sources(letter: str, data: Path) -> Iterator[list[Source]]:
    """What a set is drawn from, in a fixed order; packed mocap is unpacked for as long as it is read."""
    with tempfile.TemporaryDirectory(prefix="morphloop-bench-") as scratch:
        make = {"B": _captured, "C": _generated, "D": _styled}[letter]
        yield make(data, Path(scratch))


def _file(path: Path, name: str, fps: float | None = None) -> Source:
    return name, lambda: to_default(read_motion(path, fps))


def _captured(data: Path, scratch: Path) -> list[Source]:
    """ASAP and CMU without what needs props; a CMU trial that is there as AMC and as BVH is taken once."""
    splits = json.loads((data / "splits.json").read_text())

    def free(part: str, stem: str) -> bool:
        row = splits[part].get(stem)
        return row is not None and not row["props"]

    found = [
        _file(path, f"asap_{path.stem}")
        for path in sorted((data / "asap_video_smpl").glob("*.npz"))
        if free("asap_video_smpl", path.stem)
    ]
    trials = [path for path in sorted((data / "cmu" / "amc_npz").glob("*.npz")) if free("cmu", path.stem)]
    for skeleton in sorted((data / "cmu").glob("*.asf")):
        shutil.copyfile(skeleton, scratch / skeleton.name)

    def trial(path: Path) -> Source:
        return f"cmu_{path.stem}", lambda: to_default(read_motion(_amc(path, scratch), CMU_FPS))

    found += [trial(path) for path in trials]
    known = {path.stem for path in trials}
    exports = sorted((data / "cmu" / "bvh").glob("*.bvh"))
    return found + [_file(p, f"cmu_{p.stem}") for p in exports if p.stem not in known and free("cmu_bvh", p.stem)]


def _generated(data: Path, scratch: Path) -> list[Source]:
    """Raw outputs of published generators."""
    paths = [p for pattern in (*GENERATED, GENERATED_MDM) for p in sorted((data / "generated").glob(pattern))]
    return [_file(path, path.stem) for path in paths]


def _styled(data: Path, scratch: Path) -> list[Source]:
    """Bandai Namco's test split."""
    lines = (data / "bandai_namco" / "captions.jsonl").read_text().splitlines()
    wanted = {row["name"] for row in map(json.loads, lines) if row["split"] == "test"}
    found: list[Source] = []
    for part in ("dataset1", "dataset2"):
        pack = read_npz(data / "bandai_namco" / f"{part}.npz")
        for k, name in enumerate(str(n) for n in pack["names"]):
            if name in wanted:
                found.append((name, lambda k=k, pack=pack: to_default(read_motion(_bvh(pack, k, scratch)))))
    return found


def _amc(path: Path, scratch: Path) -> Path:
    """A packed CMU trial as the AMC file that it was, beside its skeleton."""
    pack = read_npz(path)
    parts = np.split(pack["data"], np.cumsum(pack["dims"])[:-1], axis=1)
    lines = [":FULLY-SPECIFIED", ":DEGREES"]
    for frame in range(len(pack["data"])):
        lines.append(str(frame + 1))
        for bone, values in zip(pack["bones"], parts, strict=True):
            lines.append(" ".join([str(bone), *(f"{v:.6g}" for v in values[frame])]))
    out = scratch / f"{path.stem}.amc"
    out.write_text("\n".join(lines) + "\n")
    return out


def _bvh(pack: dict[str, Any], number: int, scratch: Path) -> Path:
    """A packed Bandai Namco clip as the BVH file that it was: rotations in hundredths of a degree, positions of the
    first two joints in centimetres."""
    names, parents = [str(n) for n in pack["joint_names"]], pack["parents"].tolist()
    axes = [str(axis) for axis in pack["rot_order"]]
    lines, order = ["HIERARCHY"], []

    def block(joint: int, depth: int) -> None:
        order.append(joint)
        pad = "\t" * depth
        moved = [f"{a}position" for a in "XYZ"] if joint < 2 else []
        channels = [*moved, *(f"{a}rotation" for a in axes)]
        lines.extend([f"{pad}{'ROOT' if parents[joint] < 0 else 'JOINT'} {names[joint]}", f"{pad}{{"])
        lines.append(f"{pad}\tOFFSET " + " ".join(f"{v:.6f}" for v in pack["offsets_cm"][joint]))
        lines.append(f"{pad}\tCHANNELS {len(channels)} " + " ".join(channels))
        for child in (j for j, parent in enumerate(parents) if parent == joint):
            block(child, depth + 1)
        lines.append(f"{pad}}}")

    block(0, 0)
    rows = slice(int(pack["starts"][number]), int(pack["starts"][number + 1]))
    turns, shifts = pack["rot_centideg"][rows] / 100.0, pack["pos_root_hips_cm"][rows]
    table = np.concatenate([x for j in order for x in ([shifts[:, j]] if j < 2 else []) + [turns[:, j]]], axis=1)
    lines += ["MOTION", f"Frames: {len(table)}", f"Frame Time: {1.0 / float(pack['fps']):.8f}"]
    lines += [" ".join(f"{v:.4f}" for v in row) for row in table]
    out = scratch / f"{pack['names'][number]}.bvh"
    out.write_text("\n".join(lines) + "\n")
    return out
