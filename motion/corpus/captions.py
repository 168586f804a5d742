"""Captions of the corpus in the style of HumanML3D: a person, the present tense, one plain sentence.

Every action has several templates; a caption's words (speed, side, count, direction) come from the parameters that
made the motion, so that a caption never says what the clip does not show.
"""

from __future__ import annotations

import numpy as np

SUBJECTS = ("a person", "a person", "a man", "someone", "the person", "a figure")

TEMPLATES: dict[str, tuple[str, ...]] = {
    "walk": (
        "{who} walks forward{speed}{curve}.",
        "{who} is walking{speed}{curve_ahead}.",
        "{who} takes several steps forward{speed}{curve}.",
        "{who} walks{speed}{curve_ahead}.",
        "{who} moves forward at a {pace} walking pace{curve}.",
    ),
    "walk_backward": (
        "{who} walks backwards{speed}.",
        "{who} steps backward{speed}.",
        "{who} takes {count} steps back.",
        "{who} is walking backward{speed}.",
    ),
    "side_step": (
        "{who} steps sideways to the {side}.",
        "{who} takes {count} side steps to the {side}.",
        "{who} moves to their {side} with side steps.",
        "{who} shuffles to the {side}.",
    ),
    "turn": (
        "{who} turns {angle} to the {side} on the spot.",
        "{who} turns around to the {side} with small steps{half}.",
        "{who} stands and turns {side}{half}.",
        "{who} rotates {angle} to their {side} while staying in place.",
    ),
    "squat": (
        "{who} does {count_squats}.",
        "{who} squats down{depth} and stands back up{times}.",
        "{who} bends their knees to squat{depth}{times}.",
        "{who} performs {count_squats} with arms held forward.",
    ),
    "wave": (
        "{who} waves with their {side} hand.",
        "{who} raises the {side} hand and waves.",
        "{who} is waving hello with the {side} arm.",
        "{who} lifts their {side} arm and waves it {times_waved}.",
    ),
    "raise_arm": (
        "{who} raises their {side} arm {way}.",
        "{who} lifts the {side} arm {way} and lowers it again.",
        "{who} holds up their {side} arm {way}.",
    ),
    "raise_arms": (
        "{who} raises both arms {way}.",
        "{who} lifts both arms {way} and lowers them again.",
        "{who} stands and brings both arms up {way}.",
    ),
    "kick": (
        "{who} kicks with their {side} leg.",
        "{who} does a {level} kick with the {side} foot.",
        "{who} shifts their weight and kicks {level} with the {side} leg.",
        "{who} kicks forward with the {side} foot.",
    ),
    "bow": (
        "{who} bows{bow_depth}.",
        "{who} bends forward at the waist{bow_depth} and stands up straight again.",
        "{who} takes a bow.",
        "{who} leans forward to bow{bow_depth} and comes back up.",
    ),
    "jump": (
        "{who} jumps up once.",
        "{who} crouches down and jumps straight up.",
        "{who} does a small vertical jump.",
        "{who} jumps in place.",
    ),
    "jump_forward": (
        "{who} jumps forward.",
        "{who} hops forward with both feet.",
        "{who} crouches and jumps a short distance forward.",
        "{who} makes a small jump forward and lands on both feet.",
    ),
    "idle": (
        "{who} stands still and shifts their weight.",
        "{who} is standing and shifting weight from side to side.",
        "{who} stands in place, swaying slightly.",
        "{who} stands idle.",
    ),
    "punch": (
        "{who} punches with their {side} hand.",
        "{who} throws {count_punches} with the {side} fist.",
        "{who} is punching forward with the {side} arm.",
    ),
    "reach": (
        "{who} reaches forward with their {side} hand.",
        "{who} extends the {side} arm to reach for something in front of them.",
        "{who} leans forward a little and reaches out with the {side} hand.",
    ),
    "walk_wave": (
        "{who} walks forward while waving with the {side} hand.",
        "{who} waves their {side} hand as they walk forward.",
        "{who} is walking ahead and waving with their {side} arm.",
    ),
}


def captions(action: str, words: dict[str, str], rng: np.random.Generator) -> tuple[str, str, str]:
    """Three different captions of an action; words fill the templates' slots."""
    templates = TEMPLATES[action]
    picked = rng.permutation(len(templates))[:3]
    texts = [templates[k].format(who=SUBJECTS[rng.integers(len(SUBJECTS))], **words) for k in picked]
    return texts[0], texts[1], texts[2]
