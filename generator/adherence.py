"""Does a clip do what its prompt says? Plain facts that a prompt's words name, until an evaluator is learnt.

A prompt is read clause by clause: words name facts ("turns to the left": the body turned to the left), and a clip
adheres if every fact that its prompt names holds. A prompt that names none, or says what is not done, cannot be judged.
A fact alone says little: many clips do it by accident. So each comes with its chance level, what clips of prompts that
do not name it score. Directions are the body's own, so that a clip need not begin at the origin facing X.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np

from morphloop.motion import Clip
from morphloop.motion.rotations import heading, quat_from_heading, quat_rotate

SIDES = ("left", "right")
CLAUSE = re.compile(r"[,;.]|\b(?:and|while|then|as|before|after|until)\b")
NEGATION = re.compile(r"\b(?:not|never|no|without|nor|neither)\b|n't\b")


def joint(clip: Clip, name: str) -> np.ndarray:
    """(T, 3) positions of a joint seen from where the root begins, facing X: forward, left, up from the ground."""
    place = clip.positions[:, clip.skeleton.index(name)] - clip.root_pos[0] * [1.0, 1.0, 0.0]
    turn = quat_from_heading(-heading(clip.rotations[0, 0]))
    return quat_rotate(np.broadcast_to(turn, (len(place), 4)), place)


def travel(clip: Clip) -> tuple[float, float]:
    """Way of the root along the body's own heading, metres: forward and to the left, steps back taken off."""
    if clip.num_frames < 2:
        return 0.0, 0.0
    steps = np.diff(clip.root_pos, axis=0)
    turn = quat_from_heading(-np.unwrap(heading(clip.rotations[:, 0])))
    along = quat_rotate(turn[:-1], steps).sum(axis=0)
    return float(along[0]), float(along[1])


def turned(clip: Clip) -> float:
    """Radians that the body turned to the left from the first frame to the last."""
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


def lean(clip: Clip) -> float:
    """Metres by which the head comes further in front of the pelvis than it was at first."""
    ahead = joint(clip, "head")[:, 0] - joint(clip, "pelvis")[:, 0]
    return float(ahead.max() - ahead[0])


def other(side: str) -> str:
    """The other side."""
    return SIDES[1 - SIDES.index(side)]


def goes(clip: Clip, side: str, angle: float) -> bool:
    """Turns by over `angle` radians to a side."""
    return (turned(clip) if side == "left" else -turned(clip)) > angle


def steps_aside(clip: Clip, side: str) -> bool:
    """Ends over 0.2 m to that side."""
    left = travel(clip)[1]
    return (left if side == "left" else -left) > 0.2


def waves(clip: Clip, side: str) -> bool:
    """The hand comes up to the neck, to within 0.1 m, and 0.1 m higher than the other hand."""
    hand, rest = joint(clip, f"{side}_hand")[:, 2].max(), joint(clip, f"{other(side)}_hand")[:, 2].max()
    return bool(hand > joint(clip, "neck")[:, 2].max() - 0.1 and hand > rest + 0.1)


def raises(clip: Clip, side: str) -> bool:
    """The hand of that side rises by 0.4 m, and by 0.2 m more than the other."""
    return rise(clip, f"{side}_hand") > max(0.4, rise(clip, f"{other(side)}_hand") + 0.2)


def reaches(clip: Clip, side: str) -> bool:
    """The hand of that side comes further forward than the other by 0.2 m."""
    ahead = [(joint(clip, f"{s}_hand") - joint(clip, "pelvis"))[:, 0].max() for s in (side, other(side))]
    return bool(ahead[0] > ahead[1] + 0.2)


def kicks(clip: Clip, side: str) -> bool:
    """The foot of that side rises more than the other, by 0.15 m."""
    return rise(clip, f"{side}_ankle") > rise(clip, f"{other(side)}_ankle") + 0.15


def hops(clip: Clip) -> bool:
    """Both feet are off the ground at once, by 5 cm over where they stood."""
    feet = np.stack([joint(clip, f"{side}_foot")[:, 2] for side in SIDES])
    return bool(((feet - feet[:, :1]) > 0.05).all(0).any())


def stands(clip: Clip) -> bool:
    """The root ends within 0.2 m of where it was and dips by under 0.1 m, and no hand or foot rises by 0.2 m."""
    away = float(np.linalg.norm(clip.root_pos[-1, :2] - clip.root_pos[0, :2]))
    quiet = max(rise(clip, f"{side}_{end}") for side in SIDES for end in ("hand", "ankle")) < 0.2
    return away < 0.2 and dip(clip, "pelvis") < 0.1 and quiet


@dataclass(frozen=True)
class Rule:
    """Words of a clause and the fact that they name. sided: `passes` is asked for one side, left or right."""

    name: str
    words: str
    passes: Callable[[Clip, str], bool]
    sided: bool = False
    unless: str = "$^"
    """Words that make it another fact's clause."""


WALKING = r"\b(?:walk|stroll|stride|march)\w*\b|\b(?:steps?|moves?|moving|stepping|goes) (?:forwards?|ahead)\b"
BACK = r"\bbackwards?\b|(?<!bent )(?<!hunched )\bback\b(?! up)"
ASIDE = r"\bsideways\b|\bside ?steps?\b|\bside-?step\w*\b|\bshuffl\w+\b"
RULES = (
    Rule("walk backward", rf"(?:\b(?:walk|step|mov)\w*\b|\bsteps?\b).*(?:{BACK})", lambda c, _: travel(c)[0] < -0.3),
    Rule("side step", ASIDE, steps_aside, sided=True, unless=r"\b(?:arms?|hands?|bend\w*|lean\w*|stretch\w*)\b"),
    Rule("walk forward", WALKING, lambda c, _: travel(c)[0] > 0.6, unless=rf"{BACK}|{ASIDE}|\bin place\b"),
    Rule("curve", r"\bcurv\w+\b", lambda c, side: goes(c, side, 0.25), sided=True),
    Rule("turn", r"\b(?:turn|rotat)\w*\b", lambda c, side: goes(c, side, 0.6), sided=True, unless=r"\bhead\b"),
    Rule("squat", r"\bsquat\w*\b", lambda c, _: dip(c, "pelvis") > 0.12),
    Rule("wave", r"\bwav(?:e|es|ing)\b", waves, sided=True),
    Rule(
        "raise both arms",
        r"\b(?:rais|lift|bring)\w*\b.*\b(?:arms|hands)\b",
        lambda c, _: min(rise(c, "left_hand"), rise(c, "right_hand")) > 0.35,
    ),
    Rule("raise arm", r"\b(?:rais|lift|hold)\w*\b.*\b(?:arm|hand)\b", raises, sided=True),
    Rule("kick", r"\bkick\w*\b", kicks, sided=True),
    Rule("bow", r"\bbow(?:s|ing)?\b|\bbends? forward\b", lambda c, _: lean(c) > 0.12),
    Rule("jump forward", r"\b(?:jump|hop)\w*\b.*\bforward\b", lambda c, _: hops(c) and travel(c)[0] > 0.1),
    Rule("jump", r"\b(?:jump|hop)(?:s|ing)?\b", lambda c, _: hops(c), unless=r"\bforward\b"),
    Rule("punch", r"\bpunch\w*\b", reaches, sided=True),
    Rule("reach", r"\breach\w*\b", reaches, sided=True),
    Rule("stand", r"\bstand\w* (?:still|idle|in place)\b|\bweight from side to side\b", lambda c, _: stands(c)),
)


@dataclass(frozen=True)
class Fact:
    """What a prompt says that a clip does, as "turn left", and whether a clip does it."""

    name: str
    passes: Callable[[Clip], bool]


@cache
def named_facts(prompt: str) -> tuple[Fact, ...]:
    """The facts that a prompt names, each once, in the order of its clauses; none if it says what is not done."""
    text = prompt.lower()
    if NEGATION.search(text):
        return ()
    found: dict[str, Fact] = {}
    for clause in CLAUSE.split(text):
        for rule in RULES:
            if re.search(rule.words, clause) and not re.search(rule.unless, clause):
                fact = _fact(rule, clause)
                if fact is not None:
                    found.setdefault(fact.name, fact)
    return tuple(found.values())


def _fact(rule: Rule, clause: str) -> Fact | None:
    """A rule's fact in a clause: of the side that it names, of either if it names none; None if it names both."""
    sides = [side for side in SIDES if re.search(rf"\b{side}\b", clause)] if rule.sided else []
    if len(sides) == 2:
        return None
    asked = tuple(sides) or SIDES
    name = f"{rule.name} {sides[0]}" if sides else rule.name
    return Fact(name, lambda clip: any(rule.passes(clip, side) for side in asked))


def adheres(clip: Clip, prompt: str) -> bool | None:
    """Whether every fact that the prompt names holds of the clip; None if it names none."""
    facts = named_facts(prompt)
    return all(fact.passes(clip) for fact in facts) if facts else None


def prompt_class(prompt: str) -> str:
    """What kind of motion a prompt asks for: the first fact that it names without its side, "other" if none."""
    facts = named_facts(prompt)
    return re.sub(r" (?:left|right)$", "", facts[0].name) if facts else "other"
