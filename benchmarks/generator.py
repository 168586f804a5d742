"""What the shipped generator can do: reconstruction on held-out clips, whether motion does what the prompt says, speed.

    python benchmarks/generator.py [FOLDER] [--json FILE]

Reconstruction is measured on the corpus's test split, which trains nothing. Each prompt check is a plain fact of the
clip (it went forward, the pelvis dropped, the left hand rose; `generator/adherence.py`), with phrasings that the test
split's captions use, and beside it what the clips of the other prompts score.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch

from morphloop.base import write_json
from morphloop.generator import MotionLLM, adheres, measure_reconstruction
from morphloop.metrics import measure
from morphloop.motion import Clip, make_corpus

HELD_OUT, HELD_OUT_SEED = 200, 1000
REPEATS = 16
"""Samples of each; the two phrasings take turns."""


PROMPTS = {
    "walk forward": ("a person walks forward", "someone is walking ahead"),
    "walk slowly": ("a person walks forward slowly", "a man is walking slowly"),
    "curve left": ("a person walks forward in a curve to the left", "a man walks while curving to the left"),
    "curve right": ("a person walks forward in a curve to the right", "a man walks while curving to the right"),
    "walk backward": ("a person walks backwards", "someone steps backward"),
    "side step left": ("a person steps sideways to the left", "a man shuffles to the left"),
    "side step right": ("a person steps sideways to the right", "a man shuffles to the right"),
    "turn left": ("a person stands and turns left", "someone turns around to the left with small steps"),
    "turn right": ("a person stands and turns right", "someone turns around to the right with small steps"),
    "squat": ("a person squats down and stands back up", "a man does one squat"),
    "wave left": ("a person waves with their left hand", "someone raises the left hand and waves"),
    "wave right": ("a person waves with their right hand", "someone raises the right hand and waves"),
    "raise both arms": ("a person raises both arms above their head", "someone lifts both arms above their head"),
    "kick left": ("a person kicks with their left leg", "a man kicks forward with the left foot"),
    "kick right": ("a person kicks with their right leg", "a man kicks forward with the right foot"),
    "bow": ("a person bows", "someone bends forward at the waist and stands up straight again"),
    "jump": ("a person jumps in place", "a man jumps up once"),
    "jump forward": ("a person jumps forward", "a man hops forward with both feet"),
    "punch left": ("a person punches with their left hand", "someone is punching forward with the left arm"),
    "reach right": (
        "a person reaches forward with their right hand",
        "someone extends the right arm to reach for something",
    ),
    "stand": ("a person stands still and shifts their weight", "someone stands idle"),
}
"""Two phrasings each of one thing; what they name is checked by `morphloop.generator.adheres`."""


def mean(rows: Sequence[Mapping[str, float | None]], name: str) -> float:
    """Mean of a figure over the rows that have one."""
    return round(float(np.mean([value for row in rows if (value := row[name]) is not None])), 2)


def adherence(model: MotionLLM) -> tuple[dict[str, str], list[Clip]]:
    """Share of samples that do what their prompt says, as 'passed/samples', and all clips."""
    shares, everything = {}, []
    for number, (name, phrasings) in enumerate(PROMPTS.items()):
        prompts = [phrasings[i % 2] for i in range(REPEATS)]
        clips = model.generate(prompts, seed=number)
        shares[name] = f"{sum(bool(adheres(c, p)) for c, p in zip(clips, prompts, strict=True))}/{len(clips)}"
        everything += clips
    return shares, everything


def chance(clips: Sequence[Clip]) -> dict[str, float]:
    """Share of the clips of other things that do this one by accident, of `adherence`'s clips in their order."""
    shares = {}
    for number, (name, phrasings) in enumerate(PROMPTS.items()):
        others = [*clips[: number * REPEATS], *clips[(number + 1) * REPEATS :]]
        shares[name] = round(float(np.mean([bool(adheres(clip, phrasings[0])) for clip in others])), 3)
    return shares


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
    reconstructed = make_corpus(HELD_OUT, HELD_OUT_SEED, split="test")
    result = {
        "hash": model.hash(),
        "reconstruction": asdict(measure_reconstruction(model.tokenizer, reconstructed)),
        "adherence": shares,
        "chance": chance(clips),
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
