"""What the shipped generator can do: reconstruction on held-out clips, whether motion does what the prompt says, speed.

    python benchmarks/generator.py [FOLDER] [--json FILE]

Reconstruction is measured on the corpus's test split, which trains nothing. Each prompt check is a plain fact of the
clip (it went forward, the pelvis dropped, the left hand rose), with phrasings that the test split's captions use.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from morphloop.generator import MotionLLM
from morphloop.metrics import measure
from morphloop.motion import DEFAULT_SKELETON, Clip, make_corpus, write_json
from morphloop.motion.features import clip_to_features, features_to_clip
from morphloop.motion.rotations import heading

HELD_OUT, HELD_OUT_SEED = 200, 1000
REPEATS = 16
"""Samples a check; its two phrasings take turns."""


def joint(clip: Clip, name: str) -> np.ndarray:
    """(T, 3) world positions of a joint."""
    return clip.positions[:, DEFAULT_SKELETON.index(name)]


def travel(clip: Clip) -> np.ndarray:
    """(2,) way of the root from the first frame to the last, which starts facing X: forward, left."""
    return clip.root_pos[-1, :2] - clip.root_pos[0, :2]


def turned(clip: Clip) -> float:
    """Radians that the body turned to the left."""
    yaw = np.unwrap(heading(clip.rotations[:, 0]))
    return float(yaw[-1] - yaw[0])


def rise(clip: Clip, name: str) -> float:
    """Metres from a joint's first height up to its highest."""
    height = joint(clip, name)[:, 2]
    return float(height.max() - height[0])


def dip(clip: Clip, name: str) -> float:
    """Metres from a joint's first height down to its lowest."""
    height = joint(clip, name)[:, 2]
    return float(height[0] - height.min())


def over_head(clip: Clip, side: str) -> bool:
    """The hand comes above the neck, and the other hand does not come as high."""
    other = "right" if side == "left" else "left"
    hand, rest = joint(clip, f"{side}_hand")[:, 2].max(), joint(clip, f"{other}_hand")[:, 2].max()
    return bool(hand > joint(clip, "neck")[:, 2].max() - 0.1 and hand > rest + 0.1)


def reached(clip: Clip, side: str, joint_name: str) -> bool:
    """The joint of that side comes further forward than the other by 0.2 m."""
    other = "right" if side == "left" else "left"
    a, b = (joint(clip, f"{s}_{joint_name}")[:, 0].max() - clip.root_pos[0, 0] for s in (side, other))
    return bool(a > b + 0.2)


def kicked(clip: Clip, side: str) -> bool:
    """The foot of that side rises more than the other, by 0.15 m."""
    other = "right" if side == "left" else "left"
    return rise(clip, f"{side}_ankle") > rise(clip, f"{other}_ankle") + 0.15


def hops(clip: Clip) -> bool:
    """Both feet are off the ground at once, by 5 cm over where they stood."""
    feet = np.stack([joint(clip, f"{s}_foot")[:, 2] for s in ("left", "right")])
    return bool(((feet - feet[:, :1]) > 0.05).all(0).any())


@dataclass(frozen=True)
class PromptCheck:
    """Two phrasings of one thing, and whether a clip does it."""

    prompts: tuple[str, str]
    passes: Callable[[Clip], bool]


CHECKS = {
    "walk forward": PromptCheck(
        ("a person walks forward", "someone is walking ahead"), lambda c: bool(travel(c)[0] > 0.8)
    ),
    "walk slowly": PromptCheck(
        ("a person walks forward slowly", "a man is walking slowly"), lambda c: bool(0.4 < travel(c)[0] < 3.0)
    ),
    "curve left": PromptCheck(
        ("a person walks forward in a curve to the left", "a man walks while curving to the left"),
        lambda c: turned(c) > 0.25,
    ),
    "curve right": PromptCheck(
        ("a person walks forward in a curve to the right", "a man walks while curving to the right"),
        lambda c: turned(c) < -0.25,
    ),
    "walk backward": PromptCheck(
        ("a person walks backwards", "someone steps backward"), lambda c: bool(travel(c)[0] < -0.4)
    ),
    "side step left": PromptCheck(
        ("a person steps sideways to the left", "a man shuffles to the left"), lambda c: bool(travel(c)[1] > 0.2)
    ),
    "side step right": PromptCheck(
        ("a person steps sideways to the right", "a man shuffles to the right"), lambda c: bool(travel(c)[1] < -0.2)
    ),
    "turn left": PromptCheck(
        ("a person stands and turns left", "someone turns around to the left with small steps"),
        lambda c: turned(c) > 0.6,
    ),
    "turn right": PromptCheck(
        ("a person stands and turns right", "someone turns around to the right with small steps"),
        lambda c: turned(c) < -0.6,
    ),
    "squat": PromptCheck(
        ("a person squats down and stands back up", "a man does one squat"), lambda c: dip(c, "pelvis") > 0.12
    ),
    "wave left": PromptCheck(
        ("a person waves with their left hand", "someone raises the left hand and waves"),
        lambda c: over_head(c, "left"),
    ),
    "wave right": PromptCheck(
        ("a person waves with their right hand", "someone raises the right hand and waves"),
        lambda c: over_head(c, "right"),
    ),
    "raise both arms": PromptCheck(
        ("a person raises both arms above their head", "someone lifts both arms above their head"),
        lambda c: min(rise(c, "left_hand"), rise(c, "right_hand")) > 0.6,
    ),
    "kick left": PromptCheck(
        ("a person kicks with their left leg", "a man kicks forward with the left foot"), lambda c: kicked(c, "left")
    ),
    "kick right": PromptCheck(
        ("a person kicks with their right leg", "a man kicks forward with the right foot"),
        lambda c: kicked(c, "right"),
    ),
    "bow": PromptCheck(
        ("a person bows", "someone bends forward at the waist and stands up straight again"),
        lambda c: rise(c, "head") < 0.1 and dip(c, "head") > 0.05,
    ),
    "jump": PromptCheck(("a person jumps in place", "a man jumps up once"), hops),
    "jump forward": PromptCheck(
        ("a person jumps forward", "a man hops forward with both feet"), lambda c: hops(c) and bool(travel(c)[0] > 0.1)
    ),
    "punch left": PromptCheck(
        ("a person punches with their left hand", "someone is punching forward with the left arm"),
        lambda c: reached(c, "left", "hand"),
    ),
    "reach right": PromptCheck(
        ("a person reaches forward with their right hand", "someone extends the right arm to reach for something"),
        lambda c: reached(c, "right", "hand"),
    ),
    "stand": PromptCheck(
        ("a person stands still and shifts their weight", "someone stands idle"),
        lambda c: bool(np.linalg.norm(travel(c)) < 0.2 and dip(c, "pelvis") < 0.1),
    ),
}


def reconstruction(model: MotionLLM) -> dict[str, float]:
    """Errors of decoded codes against held-out clips."""
    rows = []
    for clip in make_corpus(HELD_OUT, HELD_OUT_SEED, split="test"):
        wanted = features_to_clip(clip_to_features(clip))
        made = model.tokenizer.decode_clip(model.tokenizer.encode_clip(clip), clip.num_frames)
        a, b = (c.positions - c.root_pos[:, None] * [1, 1, 0] for c in (made, wanted))
        rows.append(
            {
                "mpjpe_mm": 1000 * np.linalg.norm(a - b, axis=-1).mean(),
                "world_mpjpe_mm": 1000 * np.linalg.norm(made.positions - wanted.positions, axis=-1).mean(),
                "slide_mm_s": measure(made).values["slide_mean_mm_s"],
                "slide_original_mm_s": measure(wanted).values["slide_mean_mm_s"],
                "jitter_rms_mm": measure(made).values["jitter_rms_mm"],
            }
        )
    return {name: mean(rows, name) for name in rows[0]}


def mean(rows: Sequence[Mapping[str, float | None]], name: str) -> float:
    """Mean of a figure over the rows that have one."""
    return round(float(np.mean([value for row in rows if (value := row[name]) is not None])), 2)


def adherence(model: MotionLLM) -> tuple[dict[str, str], list[Clip]]:
    """Share of samples that pass each check, as 'passed/samples', and all clips."""
    shares, everything = {}, []
    for number, (name, check) in enumerate(CHECKS.items()):
        clips = model.generate([check.prompts[i % 2] for i in range(REPEATS)], seed=number)
        shares[name] = f"{sum(check.passes(c) for c in clips)}/{len(clips)}"
        everything += clips
    return shares, everything


def captions(model: MotionLLM) -> dict[str, float]:
    """Motion to text on held-out clips: share whose caption is one that the corpus gives to that action or side."""
    clips = make_corpus(96, HELD_OUT_SEED + 1, split="test")
    said = model.describe(clips)
    keys = ("walk", "back", "left", "right", "squat", "wav", "kick", "bow", "jump", "punch", "both arms", "turn")
    agree = []
    for clip, text in zip(clips, said, strict=True):
        every = [{key for key in keys if key in t} for t in clip.texts]
        sure = set.intersection(*every)
        agree.append(sure <= {key for key in keys if key in text})
    return {"captions_with_every_sure_key_word": round(float(np.mean(agree)), 3)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=Path(__file__).parents[1] / "assets" / "generator")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    model = MotionLLM.load(args.folder)
    shares, clips = adherence(model)
    begun = time.monotonic()
    model.generate(["a person walks forward"] * 16, seed=0, seconds=(4.0, 4.0))
    wall = time.monotonic() - begun
    held_out = make_corpus(100, HELD_OUT_SEED, split="test")
    names = ("slide_mean_mm_s", "penetration_mean_mm", "float_mean_mm", "physdiff_phys_err_mm", "jitter_rms_mm")
    physics = {}
    for label, motions in (("generated", clips), ("held_out_clean", held_out)):
        rows = [measure(clip).values for clip in motions]
        physics[label] = {name: mean(rows, name) for name in names}
    result = {
        "hash": model.hash(),
        "reconstruction": reconstruction(model),
        "adherence": shares,
        "adherence_total": sum(int(s.split("/")[0]) for s in shares.values()) / (REPEATS * len(shares)),
        "captions": captions(model),
        "physics": physics,
        "sixteen_prompts_of_4_s_wall_s": round(wall, 2),
    }
    for name, value in result.items():
        print(name, value)
    if args.json:
        write_json(args.json, result)


if __name__ == "__main__":
    main()
