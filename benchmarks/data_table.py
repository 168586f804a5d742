"""What every set in the shared data folder scores: all metrics, median and interval, as one page.

    python benchmarks/data_table.py DATA UNPACKED [--g1 MJCF] [--g1-23 MJCF] [--out docs/lab/data_table.md] [--most N]

DATA is the folder of the sets (`../shared/data`), UNPACKED what `../shared/tools/unpack_data.py` wrote. The G1 is the
Python package mjlab's `unitree_g1/xmls/g1.xml`; with 23 joints, the same without the six wrist joints. Nothing of the
sets is copied here, only figures. `--most` takes that many files of a set, evenly spread, for a quick look.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from morphloop.base import MotionError, write_atomic, write_json
from morphloop.metrics import METRICS, Contacts, contact_frames
from morphloop.metrics.contact import slide
from morphloop.metrics.report import EvaluateConfig, Evaluation, evaluate
from morphloop.metrics.report.bench_page import figure
from morphloop.metrics.summary import RESAMPLES, SEED
from morphloop.motion import (
    HUMANML3D_JOINTS,
    Clip,
    JointTrack,
    find_motions,
    make_corpus,
    read_motion,
    save_clip,
    to_default,
)
from morphloop.motion.fitting.skeleton_maps import SkeletonMap, find_map
from morphloop.motion.skeleton import Y_UP_TO_Z_UP

CORPUS_CLIPS, CORPUS_SEED = 128, 0
PAIRS = "footfix_pairs"
GROUNDS = ("as-is", "robust")
BLOCK = 100
"""Resamples of the bootstrap at a time."""


@dataclass(frozen=True)
class DataSet:
    """A column of the page. paths: files and folders; pattern: of file names; fps: for files that cannot tell theirs;
    robot: name of the robot whose body it is; props: take the clips that need a floor or an object that the flat ground
    does not have (`splits.json`), and not the others; None: all."""

    title: str
    group: str
    paths: tuple[Path, ...]
    pattern: str = "*"
    fps: float | None = None
    robot: str | None = None
    props: bool | None = None

    def files(self, props: frozenset[str], most: int | None) -> list[Path]:
        """Motion files, at most so many, evenly spread. props: names of clips with props. MotionError for none."""
        found = [path for path in find_motions(self.paths) if path.match(self.pattern)]
        if self.props is not None:
            found = [path for path in found if (path.stem in props) == self.props]
        if not found:
            raise MotionError(f"no motion file named {self.pattern}")
        return found if most is None else found[:: -(-len(found) // most)]


CAPTURED = "Captured motion (variant surface)"
MADE = "Estimated from video, generated, and made in code (variant surface)"
JOINTS = "Joint positions (variant joints)"
ROBOTS = "Robots (variant surface, the robot's own body)"


def data_sets(data: Path, unpacked: Path, made: Path) -> list[DataSet]:
    """The columns. made: folder with what `make_columns` wrote."""
    generated = data / "generated"
    return [
        DataSet("CMU, AMC", CAPTURED, (unpacked / "cmu",), "*.amc", fps=120.0, props=False),
        DataSet("CMU with props", CAPTURED, (unpacked / "cmu",), "*.amc", fps=120.0, props=True),
        DataSet("CMU, BVH", CAPTURED, (data / "cmu" / "bvh",), props=False),
        DataSet("DeepMimic", CAPTURED, (data / "deepmimic",)),
        DataSet("Isaac AMP", CAPTURED, (data / "isaac_amp",)),
        DataSet("Bandai Namco 1", CAPTURED, (unpacked / "bandai_namco",), "dataset-1_*"),
        DataSet("Bandai Namco 2", CAPTURED, (unpacked / "bandai_namco",), "dataset-2_*"),
        DataSet("AIST++", CAPTURED, (data / "aistpp",)),
        DataSet("Xia styles, BVH", CAPTURED, (data / "xia_style_bvh",)),
        DataSet("ASAP, video to SMPL", MADE, (unpacked / "asap",)),
        DataSet("MDM, BVH", MADE, (generated / "bvh",), "outputs_prova*"),
        DataSet("GMD, BVH", MADE, (generated / "bvh",), "output_gmd*"),
        DataSet("OmniControl, BVH", MADE, (generated / "bvh",), "output_omni*"),
        DataSet("style transfer, raw", MADE, (generated / PAIRS,), "*_raw.bvh"),
        DataSet("style transfer, feet fixed", MADE, (generated / PAIRS,), "*_fixed.bvh"),
        DataSet("corpus", MADE, (made / "corpus",)),
        DataSet("corpus with defects", MADE, (made / "corpus_defects",)),
        DataSet("MDM", JOINTS, (generated / "joints22",), "mdm_*"),
        DataSet("T2M-GPT", JOINTS, (generated / "joints22",), "t2mgpt_*"),
        DataSet("action VAE (20 fps assumed)", JOINTS, (generated / "action2motion",), fps=20.0),
        DataSet("HumanML3D sample", JOINTS, (data / "humanml3d" / "new_joints",), fps=20.0),
        DataSet("CMU's joints", JOINTS, (made / "cmu_joints",)),
        DataSet("ASAP's joints", JOINTS, (made / "asap_joints",)),
        DataSet("corpus's joints", JOINTS, (made / "corpus_joints",)),
        DataSet("ASAP on a G1", ROBOTS, (data / "asap_g1_23dof",), robot="G1, 23 joints"),
        DataSet("GMT on a G1", ROBOTS, (data / "gmt_g1_23dof",), robot="G1, 23 joints"),
        DataSet("G1 generator, CSV", ROBOTS, (generated / "g1_csv",), fps=30.0, robot="G1"),
    ]


def clips_with_props(data: Path) -> frozenset[str]:
    """Names of the clips that `splits.json` marks."""
    splits = json.loads((data / "splits.json").read_text())
    sets = [clips for clips in splits.values() if isinstance(clips, dict)]
    return frozenset(
        name for clips in sets for name, row in clips.items() if isinstance(row, dict) and row.get("props")
    )


def make_columns(unpacked: Path, made: Path, props: frozenset[str], most: int | None) -> None:
    """The corpus as clip files, and the joints of CMU, ASAP and corpus clips as a generator would emit them, so that
    one capture, one estimate and one zero stand in the joints variant too."""
    count = min(CORPUS_CLIPS, most or CORPUS_CLIPS)
    corpus = make_corpus(count, CORPUS_SEED)
    for folder, clips in (("corpus", corpus), ("corpus_defects", make_corpus(count, CORPUS_SEED, defects=True))):
        for clip in clips:
            save_clip(made / folder / f"{clip.name}.npz", clip)
    for clip in corpus:
        _save_joints(made / "corpus_joints", clip)
    for folder, fps in (("cmu", 120.0), ("asap", None)):
        for path in DataSet("", "", (unpacked / folder,), fps=fps, props=False).files(props, most):
            clip = to_default(read_motion(path, fps), keep_floor=True)
            _save_joints(made / f"{folder}_joints", clip, path.stem)


def _save_joints(folder: Path, clip: Clip, name: str | None = None) -> None:
    joints = (clip.positions[:, : len(HUMANML3D_JOINTS)] @ Y_UP_TO_Z_UP).astype(np.float32)
    write_atomic(
        folder / f"{name or clip.name}.npz",
        lambda stream: np.savez(stream, joints=joints, fps=clip.fps),
    )


@dataclass
class Column:
    """What a set scored on one ground. values: (N,) by metric, NaN for null; failed: reasons."""

    title: str
    group: str
    ground: str
    clips: int = 0
    seconds: float = 0.0
    values: dict[str, np.ndarray] = field(default_factory=dict)
    failed: Counter[str] = field(default_factory=Counter)


def column(data_set: DataSet, ground: str, robots: dict[str, str], props: frozenset[str], most: int | None) -> Column:
    """Measure a set. robots: MJCF file by name."""
    group = data_set.group
    found = Column(data_set.title, group, ground)
    if data_set.robot is not None and data_set.robot not in robots:
        found.failed[f"no MJCF was given for {data_set.robot}"] = len(list(find_motions(data_set.paths)))
        return found
    try:
        files = data_set.files(props, most)
    except MotionError as error:
        found.failed[str(error)] = 1
        return found
    config = EvaluateConfig(ground=ground, fps=data_set.fps, body=robots.get(data_set.robot or ""))
    result = evaluate(files, config)
    found.failed.update(_reason(row["reason"]) for row in result.failed)
    wanted = "joints" if group == JOINTS else "surface"
    _take(found, result, wanted)
    for variant in result.variants:
        if variant != wanted:
            found.failed[f"measured in the variant {variant}"] = len(result.rows.variants[variant])
    return found


def _take(found: Column, result: Evaluation, variant: str) -> None:
    if variant not in result.rows.variants:
        return
    rows = result.rows.variants[variant]
    found.clips, found.seconds = len(rows), rows.seconds
    found.values = {name: rows.column(name) for name in rows.names()}


def _reason(text: str) -> str:
    """A reason without what differs from file to file, so that equal ones are counted together."""
    for sign in ("frame ", "joint "):
        head, found, tail = text.partition(sign)
        if found and tail[:1].isdigit():
            text = head + sign + "N" + tail.lstrip("0123456789")
    return text


def median_interval(values: np.ndarray) -> tuple[float, tuple[float, float] | None]:
    """Median of (N,) values and its 95 % bootstrap interval, None under two values."""
    if len(values) < 2:
        return float(values[0]), None
    rng = np.random.default_rng(SEED)
    blocks = [rng.integers(len(values), size=(BLOCK, len(values))) for _ in range(RESAMPLES // BLOCK)]
    low, high = np.percentile(np.concatenate([np.median(values[block], axis=1) for block in blocks]), [2.5, 97.5])
    return float(np.median(values)), (float(low), float(high))


@dataclass(frozen=True)
class Pair:
    """Slide of a clip before and after its author's foot fix, mm/s; None where nothing is in contact. frames: whose
    contacts are read, each clip's "own", or those of the "fixed" clip in both: the author's say on where feet stand."""

    name: str
    variant: str
    ground: str
    frames: str
    raw: float | None
    fixed: float | None

    @property
    def verdict(self) -> str:
        """Whether the fix lowers the slide: falls, rises, or no verdict where one side is not in contact."""
        if self.raw is None or self.fixed is None:
            return "no verdict"
        return "falls" if self.fixed < self.raw else "rises"


def foot_fix_pairs(folder: Path) -> list[Pair]:
    """Every raw and foot-fixed clip of a folder, on the surface after retargeting and on the file's own joints."""
    found = []
    for file in sorted(folder.glob("*_raw.bvh")):
        name = file.stem.removesuffix("_raw")
        clips = [read_motion(path) for path in (file, file.with_name(f"{name}_fixed.bvh"))]
        for variant in ("surface", "joints"):
            seen = [to_default(clip, keep_floor=True) if variant == "surface" else own_joints(clip) for clip in clips]
            for ground in GROUNDS:
                raw, fixed = (contact_frames(motion, ground=ground) for motion in seen)
                there = _slide(fixed)
                found.append(Pair(name, variant, ground, "own", _slide(raw), there))
                found.append(Pair(name, variant, ground, "fixed", _slide(_where(raw, fixed)), there))
    return found


def _slide(contacts: Contacts) -> float | None:
    return slide(contacts)["slide_mean_mm_s"]


def _where(contacts: Contacts, other: Contacts) -> Contacts:
    """The speeds of one clip in the contact frames of another of the same length."""
    shared = [name for name in other.segments if name in contacts.segments]
    own, theirs = ([c.segments.index(name) for name in shared] for c in (contacts, other))
    return replace(
        contacts,
        segments=tuple(shared),
        group=contacts.group[own],
        height=contacts.height[:, own],
        speed=contacts.speed[:, own],
        touching=other.touching[:, theirs],
        settled=other.settled[:, theirs],
    )


def own_joints(clip: Clip | JointTrack) -> JointTrack:
    """The joints of a clip where its own skeleton has them, at the default body's size, under our names."""
    if isinstance(clip, JointTrack):
        return clip
    known = find_map(clip.skeleton, clip.name)
    if not isinstance(known, SkeletonMap):
        raise MotionError(f"{clip.name}: no joint map for this skeleton")
    scale = to_default(clip).provenance.notes["scale"]
    names = tuple(name for name in HUMANML3D_JOINTS if name in known.joints)
    places = [clip.skeleton.index(known.joints[name]) for name in names]
    return JointTrack(clip.fps, names, scale * clip.positions[:, places])


def page(columns: Sequence[Column], pairs: Sequence[Pair], commit: str, command: str) -> str:
    """The page in Markdown."""
    parts = [_head(commit, command)]
    for group in dict.fromkeys(found.group for found in columns):
        parts.append(f"## {group}")
        tables = [[c for c in columns if (c.group, c.ground) == (group, ground) and c.clips] for ground in GROUNDS]
        moved = {
            name for name in METRICS if any(_cell(a, name) != _cell(b, name) for a, b in zip(*tables, strict=True))
        }
        for ground, part, names in zip(GROUNDS, tables, (set(METRICS), moved), strict=True):
            parts.append(f"Ground `{ground}`:\n\n{_table(part, names)}" if part else "None was read.")
    parts += [_pairs(pairs), _failures(columns)]
    return "\n\n".join(parts) + "\n"


def _head(commit: str, command: str) -> str:
    return f"""# What every set scores

Made on commit {commit}, {datetime.now(UTC):%Y-%m-%d}, by

    {command}

Every metric of [metrics.md](../metrics.md) that needs the motion alone. Each cell: the median over the clips of a set
and its 95 % bootstrap interval; a dash where no clip has frames to speak of, and in parentheses the number of clips
that have where some do not. `--most N`: N clips of a larger set, evenly spread.

Ground `as-is` is z = 0 of the file, `robust` the 5th percentile of the clip's lowest point; a metric that the ground
does not change stands in the first table alone. Compare generators, which put their floor anywhere, under `robust`;
read under `as-is` what somebody gets who takes the file at its word. The two variants do not compare: a joint lies
inside the flesh, 25 mm and more over the sole, and that much reads as float under `as-is`. The sets have different
actions in them, so a difference between columns is not a difference between methods alone. The corpus with defects has
one or two of six faults in three clips of four, so its medians of single faults stay near those of the corpus."""


def _table(columns: Sequence[Column], names: set[str]) -> str:
    rows = [
        "| | " + " | ".join(found.title for found in columns) + " |",
        "|---|" + "---|" * len(columns),
        "| clips | " + " | ".join(str(found.clips) for found in columns) + " |",
        "| seconds | " + " | ".join(f"{found.seconds:.0f}" for found in columns) + " |",
    ]
    for name, metric in METRICS.items():
        if name in names and any(name in found.values and np.isfinite(found.values[name]).any() for found in columns):
            unit = f", {metric.unit}" if metric.unit else ""
            rows.append(f"| {name}{unit} | " + " | ".join(_cell(found, name) for found in columns) + " |")
    return "\n".join(rows)


def _cell(found: Column, name: str) -> str:
    values = found.values.get(name, np.zeros(0))
    values = values[np.isfinite(values)]
    if not len(values):
        return "-"
    median, interval = median_interval(values)
    text = figure(median) if interval is None else f"{figure(median)} [{figure(interval[0])}, {figure(interval[1])}]"
    return text if len(values) == found.clips else f"{text} ({len(values)})"


def _pairs(pairs: Sequence[Pair]) -> str:
    rows = [
        "## Raw and foot-fixed",
        "",
        "Three clips of a style-transfer network before and after its author's foot fix (`generated/footfix_pairs`): "
        "`slide_mean_mm_s`, on the surface after retargeting to the default body, and on the file's own joints, "
        "scaled. Contact frames are each clip's own, or those of the fixed clip in both. A dash: no contact settles.",
        "",
        "| clip | variant | ground | contact frames | raw | fixed | |",
        "|---|---|---|---|---|---|---|",
    ]
    for pair in pairs:
        raw, fixed = (("-" if value is None else figure(value)) for value in (pair.raw, pair.fixed))
        verdict = (
            "no verdict" if pair.raw is None or pair.fixed is None else ("falls" if pair.fixed < pair.raw else "rises")
        )
        rows.append(f"| {pair.name} | {pair.variant} | {pair.ground} | {pair.frames} | {raw} | {fixed} | {verdict} |")
    return "\n".join(rows)


def _failures(columns: Sequence[Column]) -> str:
    rows = [
        f"- {found.title}: {count} ({reason})"
        for found in columns
        if found.ground == GROUNDS[0]
        for reason, count in found.failed.most_common()
    ]
    return "## Not in the tables\n\n" + ("\n".join(rows) or "Nothing: every file was read.")


def _commit() -> str:
    run = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=True)
    return run.stdout.strip()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("unpacked", type=Path)
    parser.add_argument("--g1")
    parser.add_argument("--g1-23")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--most", type=int)
    args = parser.parse_args()
    given = {"--g1": args.g1, "--g1-23": args.g1_23, "--most": args.most}
    command = "python benchmarks/data_table.py DATA UNPACKED"
    command += "".join(f" {flag} {Path(str(value)).name}" for flag, value in given.items() if value)
    robots = {name: file for name, file in (("G1", args.g1), ("G1, 23 joints", args.g1_23)) if file}
    columns, props = [], clips_with_props(args.data)
    with tempfile.TemporaryDirectory() as made:
        make_columns(args.unpacked, Path(made), props, args.most)
        for data_set in data_sets(args.data, args.unpacked, Path(made)):
            for ground in GROUNDS:
                columns.append(column(data_set, ground, robots, props, args.most))
            print(f"{columns[-1].title}: {columns[-1].clips} clips, load {os.getloadavg()[0]:.1f}", flush=True)
    pairs = foot_fix_pairs(args.data / "generated" / PAIRS)
    text = page(columns, pairs, _commit(), command)
    if args.out:
        write_atomic(args.out, lambda stream: stream.write(text.encode()))
    else:
        print(text)
    if args.json:
        rows = [
            {
                "set": found.title,
                "ground": found.ground,
                "clips": found.clips,
                "metrics": {
                    name: [None if np.isnan(value) else value for value in values.tolist()]
                    for name, values in found.values.items()
                },
                "failed": dict(found.failed),
            }
            for found in columns
        ]
        write_json(args.json, {"schema": 1, "sets": rows})


if __name__ == "__main__":
    main()
