"""Can the text-motion evaluator be trusted? What docs/evaluator.md shows, on motion that it has not seen.

    python benchmarks/evaluator.py [--evaluator FOLDER] [--bandai UNPACKED --captions captions.jsonl] [--json FILE]

R-precision of real motion against its captions and against shuffled ones; how often a caption prefers its motion to
what is wrong for it in one known way, by what the caption names; what a generator's defects, which are not its
business, do to it; whether it agrees with the prompt checks (`generator/adherence.py`). Sets: the test splits of the
corpus, its unseen combinations, its held-out words, and Bandai Namco's test split where it is at hand (unpacked to BVH
files by the development data's `tools/unpack_data.py`).
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from morphloop.base import MotionError, write_json
from morphloop.generator import adheres
from morphloop.metrics.text_motion.changes import CHANGES, wrong_changes
from morphloop.metrics.text_motion.evaluator import TextMotionEvaluator, load_evaluator
from morphloop.metrics.text_motion.motion_input import motion_joints
from morphloop.metrics.text_motion.scores import Score, fid
from morphloop.metrics.text_motion.scoring import EmbeddedSet, embed_set, score_set
from morphloop.metrics.text_motion.training import spoilt
from morphloop.motion import Clip, make_corpus, read_motion, to_default
from morphloop.motion.corpus.compose import Deed, Part
from morphloop.motion.corpus.described import make_described
from morphloop.motion.corpus.grammar import RARE, has_held_out_word, sentence
from morphloop.motion.corpus.phases import PHASES

CLIPS, SEED = 300, 1000
CHECKED = 80
"""Clips of which every caption is asked of every clip by both judges."""
SHOWN = ("r_precision_1", "r_precision_2", "r_precision_3", "mm_dist", "diversity")


def figure(score: Score) -> list[float] | str:
    """Value and deviation, or why there is none."""
    return score.why if score.value is None else [round(score.value, 4), round(score.sd or 0.0, 4)]


def shuffled(found: EmbeddedSet) -> EmbeddedSet:
    """The same captions with the motion of another."""
    order = np.random.default_rng(0).permutation(len(found.motions))
    return replace(found, motions=found.motions[order])


def against_captions(found: EmbeddedSet) -> dict[str, Any]:
    """Scores of real motion with its captions, and with shuffled ones."""
    right, wrong = score_set(found), score_set(shuffled(found))
    return {
        "clips": len(found.motions),
        "real": {name: figure(right[name]) for name in SHOWN},
        "shuffled": {name: figure(wrong[name]) for name in SHOWN},
        "fid_of_halves": figure(fid(found.motions[::2], found.motions[1::2])),
    }


def changed(judge: TextMotionEvaluator, clips: Sequence[Clip], found: EmbeddedSet) -> dict[str, Any]:
    """Share of captions that prefer their motion to the changed one, by change and by what the caption names."""
    joints = [motion_joints(clip) for clip in clips]
    wins: dict[str, dict[str, list[bool]]] = {change: defaultdict(list) for change in CHANGES}
    for change, made in CHANGES.items():
        wrong = judge.embed_joints([made(one) for one in joints])
        for number, clip in enumerate(clips):
            for text, caption in zip(clip.texts, found.captions[number], strict=True):
                for named in wrong_changes(text, joints[number]).get(change, ()):
                    wins[change][named].append(bool(caption @ found.motions[number] > caption @ wrong[number]))
    return {
        change: {named: [round(float(np.mean(won)), 3), len(won)] for named, won in sorted(by.items())}
        for change, by in wins.items()
    }


def speed_not_length(judge: TextMotionEvaluator, clips: Sequence[Clip], found: EmbeddedSet) -> list[float | int]:
    """Share of captions that name a speed and prefer the first half of their motion, as fast as it was, to all of it
    twice as fast: both are as long. Clips of one action alone, which half of one still shows."""
    wins = []
    for number, clip in enumerate(clips):
        joints = motion_joints(clip)
        if len(clip.provenance.notes.get("script", [0])) != 1:
            continue
        half, fast = judge.embed_joints([joints[: -(-len(joints) // 2)], CHANGES["twice as fast"](joints)])
        for text, caption in zip(clip.texts, found.captions[number], strict=True):
            if "twice as fast" in wrong_changes(text, joints):
                wins.append(bool(caption @ half > caption @ fast))
    return [round(float(np.mean(wins)), 3) if wins else 0.0, len(wins)]


def with_defects(judge: TextMotionEvaluator, clips: Sequence[Clip], found: EmbeddedSet) -> dict[str, Any]:
    """Scores of the same clips with slide, drift, float and jitter, and their FID from the clean ones."""
    rng = np.random.default_rng(0)
    spoiled = replace(found, motions=judge.embed_joints([spoilt(motion_joints(clip), rng, True) for clip in clips]))
    scores = score_set(spoiled, found)
    return {name: figure(scores[name]) for name in ("fid", *SHOWN)}


def agreement(found: EmbeddedSet, clips: Sequence[Clip]) -> dict[str, Any]:
    """How the nearness of captions to clips goes with what the prompt checks say, over all pairs of some clips.

    area: share of (clip that adheres, clip that does not) in which the first is nearer to the caption, 0.5 by chance;
    agree: share of pairs on which both say the same if the evaluator says yes to as many as the checks do; by_chance:
    the same of an evaluator that says yes to any as many.
    """
    chosen = range(min(CHECKED, len(clips)))
    area, agree, chance = [], [], []
    for number in chosen:
        said = [adheres(clips[other], clips[number].texts[0]) for other in chosen]
        if None in said or all(said) or not any(said):
            continue
        yes, near = np.array(said), found.motions[list(chosen)] @ found.captions[number][0]
        area.append(float((near[yes][:, None] > near[~yes][None]).mean()))
        agree.append(float(((near >= np.sort(near)[-int(yes.sum())]) == yes).mean()))
        chance.append(float(yes.mean() ** 2 + (1.0 - yes.mean()) ** 2))
    if not area:
        return {"captions": 0}
    means = {"area": area, "agree": agree, "by_chance": chance}
    return {"captions": len(area)} | {name: round(float(np.mean(values)), 3) for name, values in means.items()}


def figures(judge: TextMotionEvaluator, clips: Sequence[Clip]) -> dict[str, Any]:
    """All of a set."""
    found = embed_set(judge, clips)
    return {
        **against_captions(found),
        "changed": changed(judge, clips, found),
        "half_before_twice_as_fast": speed_not_length(judge, clips, found),
        "with_defects": with_defects(judge, clips, found),
        "prompt_checks": agreement(found, clips),
    }


def bandai(unpacked: Path, captions: Path) -> list[Clip]:
    """Bandai Namco's test split with its captions."""
    clips = []
    for row in map(json.loads, captions.read_text().splitlines()):
        if row["split"] == "test":
            clip = to_default(read_motion(unpacked / f"{row['name']}.bvh"))
            clips.append(replace(clip, texts=tuple(row["captions"]), name=row["name"]))
    return clips


def in_held_out_words(clips: Sequence[Clip], seed: int) -> list[Clip]:
    """Described clips, each with one caption in words that no caption of the corpus uses; those without one are left
    out."""
    told = []
    for number, clip in enumerate(clips):
        rng = np.random.default_rng([seed, number])
        parts = [_part(part) for part in clip.provenance.notes["script"]]
        for style in rng.permutation(["plain", "progressive", "imperative"]):
            try:
                prompt = sentence(parts, RARE, str(style), rng)
            except LookupError:
                continue
            if has_held_out_word(prompt.text):
                notes = clip.provenance.notes | {"facts": [list(prompt.facts)]}
                told.append(replace(clip, texts=(prompt.text,)).with_provenance(notes=notes))
                break
    return told


def _part(deeds: Sequence[dict[str, Any]]) -> Part:
    """A part of a script as the grammar takes it."""
    legs, gesture = None, None
    for deed in deeds:
        says = Deed(deed["action"], {name: value for name, value in deed.items() if name != "action"})
        if deed["action"] in PHASES:
            legs = says
        else:
            gesture = says
    return Part(legs, gesture)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--evaluator", type=Path)
    parser.add_argument("--bandai", type=Path)
    parser.add_argument("--captions", type=Path)
    parser.add_argument("--clips", type=int, default=CLIPS)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    judge = load_evaluator(args.evaluator)
    if not isinstance(judge, TextMotionEvaluator):
        raise MotionError(f"{args.evaluator}: an evaluator of kind {judge.kind}, expected one that is trained here")
    result: dict[str, Any] = {"evaluator": {"kind": judge.kind, "hash": judge.hash}}
    described = make_described(args.clips, SEED, split="test")
    sets = {
        "corpus, test": make_corpus(args.clips, SEED, split="test"),
        "described, test": described,
        "described, unseen combinations": make_described(args.clips, SEED, split="combinations"),
        "described, held-out words": in_held_out_words(described, SEED),
    }
    if args.bandai is not None and args.captions is not None:
        sets["Bandai Namco, test"] = bandai(args.bandai, args.captions)
    else:
        print("Bandai Namco: left out, no --bandai and --captions")
    for name, clips in sets.items():
        result[name] = figures(judge, clips)
        print(name, json.dumps(result[name], indent=1))
        if args.json:
            write_json(args.json, result)


if __name__ == "__main__":
    main()
