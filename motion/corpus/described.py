"""Described motion: the corpus for language, with composed actions, styles, counts and several grammars of captions.

A clip is a script: parts one after the other, each what the legs do, a gesture, or both. `make_corpus`, which the
imitator trains on, stays what it is; both draw their parameters from the same cells.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from itertools import pairwise
from typing import Any, overload

import numpy as np

from morphloop.base.errors import MotionError

from ..clip import Clip, Provenance
from ..skeleton import DEFAULT_SKELETON
from .balance import FPS, solve_plan
from .compose import Composed, Deed, Part, compose
from .draw import Draw, stand
from .grammar import RARE, Prompt, captions, has_held_out_word, kind, sentence
from .make import DEFECT_SHARE, at_origin, spoil
from .phases import STYLES, Places

SPLITS = ("train", "test", "combinations")
"""test: unseen parameters; combinations: a pair of `UNSEEN`, which the other two never show, parameters of train."""

UNSEEN: frozenset[tuple[str, str, str]] = frozenset(
    {
        ("style", "walk backward", "tired"), ("style", "side step", "sneaking"), ("style", "turn", "stiff"),
        ("while", "walk", "clap"), ("while", "walk backward", "wave"), ("while", "turn", "raise arms"),
        ("while", "march", "point"), ("while", "side step", "hands on hips"), ("while", "walk", "salute"),
        ("then", "walk", "jump"), ("then", "jump", "walk"), ("then", "wave", "turn"), ("then", "squat", "kick"),
        ("then", "bow", "walk"), ("then", "turn", "punch"), ("then", "kick", "wave"), ("then", "step", "bow"),
    }
)  # fmt: skip
"""Pairs of the split "combinations" alone: an action in a style, a gesture while acting, one action after another."""
MAX_SECONDS = 10.0
MODES = {"single": 0.42, "parallel": 0.24, "sequence": 0.34}
"""Share of clips with one deed, with a gesture over an action, and with parts one after the other."""

LEGS = {
    "walk": 9, "walk backward": 3, "side step": 3, "turn": 4, "step": 2, "march": 3, "stand": 1, "squat": 3, "kick": 4,
    "raise knee": 2, "lunge": 2, "bow": 3, "lean": 2, "punch": 3, "jump": 5,
}  # fmt: skip
GESTURES = {
    "wave": 4, "raise arm": 3, "raise arms": 3, "point": 3, "salute": 2, "clap": 2, "hands on hips": 1, "reach": 2,
    "nod": 1, "shake head": 1, "look": 1, "look around": 1,
}  # fmt: skip
"""How often an action or a gesture is drawn against the others."""
CARRIERS = {"walk": 6, "walk backward": 2, "side step": 2, "turn": 3, "march": 2}
"""Actions that a gesture is laid over."""
STYLES_OF = {
    "walk": tuple(STYLES),
    "walk backward": ("sneaking", "tired", "stiff", "small steps"),
    "side step": ("sneaking", "tired", "stiff"),
    "turn": ("sneaking", "tired", "stiff"),
    "march": ("high knees",),
}
STYLED = 0.4
"""Share of the actions that can have a style that do."""


def make_described(count: int, seed: int, split: str = "train", defects: bool = False) -> list[Clip]:
    """`count` captioned clips of 1.5 to 10 s at 30 fps on the default skeleton; the same seed gives the same bytes.

    split: one of `SPLITS`; defects: as in `make_corpus`. Each clip has three to five captions, which tell only what
    the clip shows; `provenance.notes` holds the script ("script"), the facts that each caption states ("facts"), the
    drawn parameters and the frames where one part follows another ("seams"). Raises MotionError for a bad count or
    split.
    """
    return list(described_clips(count, seed, split, defects))


def described_clips(count: int, seed: int, split: str = "train", defects: bool = False) -> Iterator[Clip]:
    """The clips of `make_described`, one at a time."""
    _check(count, split)
    return (_make_clip(seed, split, number, defects) for number in range(count))


class DescribedClips(Sequence[Clip]):
    """Sets of described clips, (count, seed, with defects) each, as one sequence; a clip is solved when it is asked
    for, so that a large corpus takes no memory."""

    def __init__(self, sets: Sequence[tuple[int, int, bool]], split: str = "train") -> None:
        for count, _, _ in sets:
            _check(count, split)
        self._clips = [(seed, split, n, defects) for count, seed, defects in sets for n in range(count)]

    def __len__(self) -> int:
        return len(self._clips)

    @overload
    def __getitem__(self, index: int) -> Clip: ...
    @overload
    def __getitem__(self, index: slice) -> list[Clip]: ...
    def __getitem__(self, index: int | slice) -> Clip | list[Clip]:
        if isinstance(index, slice):
            return [_make_clip(*one) for one in self._clips[index]]
        return _make_clip(*self._clips[index])

    @cached_property
    def texts(self) -> list[tuple[str, ...]]:
        """Captions of each clip, without solving it."""
        return [tuple(prompt.text for prompt in _plan(*one[:3])[2]) for one in self._clips]


def described_captions(count: int, seed: int, split: str = "train") -> list[list[Prompt]]:
    """The captions of `make_described`'s clips with the facts that they state, without solving the motion."""
    _check(count, split)
    return [_plan(seed, split, number)[2] for number in range(count)]


def paraphrases(count: int, seed: int) -> list[Prompt]:
    """`count` prompts in words that no caption uses, each with the facts it names, on what the corpus shows.

    Every prompt has at least one word of `held_out.HELD_OUT_WORDS`. Raises MotionError for a bad count.
    """
    _check(count, "train")
    prompts: dict[str, Prompt] = {}
    number = 0
    while len(prompts) < count:
        rng = np.random.default_rng([seed, len(SPLITS), number])
        number += 1
        try:
            prompt = sentence(draw_script(rng, "train"), RARE, _one(PROMPT_GRAMMARS, rng), rng)
        except LookupError:
            continue
        if has_held_out_word(prompt.text):
            prompts.setdefault(prompt.text, prompt)
    return list(prompts.values())


PROMPT_GRAMMARS = ("plain", "plain", "progressive", "imperative", "terse")


def _check(count: int, split: str) -> None:
    if count < 0:
        raise MotionError(f"corpus: {count} clips asked for, expected 0 or more")
    if split not in SPLITS:
        raise MotionError(f"corpus: split '{split}' is unknown, expected one of {', '.join(SPLITS)}")


def _plan(seed: int, split: str, number: int) -> tuple[list[Part], Composed, list[Prompt], np.random.Generator]:
    """What a clip is to do, its plan, its captions, and the generator to go on drawing from."""
    rng = np.random.default_rng([seed, 10 + SPLITS.index(split), number])
    draw = Draw(rng, "test" if split == "test" else "train")
    mode = _mode(rng)
    while True:
        parts = draw_script(rng, split, mode)
        composed = compose(draw, stance(draw, parts), parts)
        if composed.keep.stop - composed.keep.start <= MAX_SECONDS * FPS:
            return parts, composed, captions(parts, rng), rng


def _make_clip(seed: int, split: str, number: int, defects: bool) -> Clip:
    parts, composed, said, rng = _plan(seed, split, number)
    name = f"described_{split}_{seed}_{number:05d}"
    return solved(parts, composed, said, name, seed, split, rng if defects else None)


def solved(
    parts: Sequence[Part],
    composed: Composed,
    said: Sequence[Prompt],
    name: str,
    seed: int,
    split: str,
    spoiling: np.random.Generator | None = None,
) -> Clip:
    """The clip of a plan with its captions and notes; spoiling: draws whether it gets a generator's defects, and
    which."""
    root, rotations = solve_plan(composed.plan)
    root, rotations = at_origin(root[composed.keep], rotations[composed.keep])
    faults: dict[str, Any] = {}
    if spoiling is not None and spoiling.random() < DEFECT_SHARE:
        root, rotations, faults = spoil(root, rotations, spoiling)
    script = [[{"action": deed.action, **deed.says} for deed in part.deeds] for part in parts]
    notes = {
        "action": script_name(parts),
        "split": split,
        "script": script,
        "facts": [list(prompt.facts) for prompt in said],
        "parameters": [dict(params) for params in composed.params],
        "seams": list(composed.seams),
        "defects": faults,
    }
    return Clip(
        fps=FPS,
        skeleton=DEFAULT_SKELETON,
        root_pos=root,
        rotations=rotations,
        texts=tuple(prompt.text for prompt in said),
        name=name,
        provenance=Provenance(
            stage="corpus", source="morphloop.motion.corpus.described", prompt=said[0].text, seed=seed, notes=notes
        ),
    )


def script_name(parts: Sequence[Part]) -> str:
    """As "walk + wave, jump"."""
    return ", ".join(" + ".join(key(deed) for deed in part.deeds) for part in parts)


def stance(draw: Draw, parts: Sequence[Part]) -> Places:
    """Feet at the start, wider for what wants it."""
    if any(deed.action in ("squat", "punch", "lunge") for part in parts for deed in part.deeds):
        half, out = 0.5 * draw.between(0.2, 0.28), draw.between(0.1, 0.22)
        return [(0.0, half, out), (0.0, -half, -out)]
    return stand(draw)


def key(deed: Deed) -> str:
    """A deed's name in `UNSEEN`, `LEGS` and `GESTURES`."""
    return "walk backward" if deed.action == "walk" and deed.says["way"] == "backward" else kind(deed)


def pairs(parts: Sequence[Part]) -> set[tuple[str, str, str]]:
    """The pairs that a script shows, as they stand in `UNSEEN`."""
    shown = set()
    for part in parts:
        for deed in part.deeds:
            if deed.says.get("style"):
                shown.add(("style", key(deed), deed.says["style"]))
        if part.legs is not None and part.gesture is not None:
            shown.add(("while", key(part.legs), key(part.gesture)))
    for a, b in pairwise(parts):
        shown |= {("then", key(first), key(second)) for first in a.deeds for second in b.deeds}
    return shown


def _mode(rng: np.random.Generator) -> str:
    return list(MODES)[int(rng.choice(len(MODES), p=list(MODES.values())))]


def draw_script(rng: np.random.Generator, split: str, mode: str | None = None) -> list[Part]:
    """The parts of a clip; the split "combinations" has a pair of `UNSEEN`, the others have none and are of one of
    `MODES`, drawn if not given."""
    if split == "combinations":
        wanted = _one(sorted(UNSEEN), rng)
        while True:
            parts = _around(wanted, rng)
            if wanted in pairs(parts):
                return parts
    while True:
        parts = MAKERS[mode or _mode(rng)](rng)
        if not pairs(parts) & UNSEEN:
            return parts


def _around(pair: tuple[str, str, str], rng: np.random.Generator) -> list[Part]:
    how, first, second = pair
    if how == "style":
        return [Part(_legs(first, rng, style=second))]
    if how == "while":
        return [_parallel(first, second, rng)]
    return [_part(first, rng, True), _part(second, rng, True)]


def _single(rng: np.random.Generator) -> list[Part]:
    if rng.random() < 0.66:
        return [Part(_legs(_weighted(LEGS, rng), rng, alone=True))]
    return [_part(_weighted(GESTURES, rng), rng)]


def _two_at_once(rng: np.random.Generator) -> list[Part]:
    return [_parallel(_weighted(CARRIERS, rng), _weighted(GESTURES, rng), rng, alone=True)]


def _sequence(rng: np.random.Generator) -> list[Part]:
    parts, count = [], 3 if rng.random() < 0.3 else 2
    while len(parts) < count:
        if rng.random() < 0.12:
            part = _parallel(_weighted(CARRIERS, rng), _weighted(GESTURES, rng), rng)
        else:
            part = _part(_weighted(LEGS | GESTURES, rng), rng, True)
        if parts and key(part.deeds[0]) == key(parts[-1].deeds[0]):
            continue
        parts.append(part)
    return parts


MAKERS: dict[str, Callable[[np.random.Generator], list[Part]]] = {
    "single": _single,
    "parallel": _two_at_once,
    "sequence": _sequence,
}


def _one(options: Sequence, rng: np.random.Generator) -> Any:
    return options[int(rng.integers(len(options)))]


def _weighted(weights: dict[str, int], rng: np.random.Generator) -> str:
    shares = np.array(list(weights.values()), dtype=float)
    return list(weights)[int(rng.choice(len(weights), p=shares / shares.sum()))]


def _part(name: str, rng: np.random.Generator, short: bool = False) -> Part:
    """A part of one deed."""
    if name in GESTURES:
        deed = _gesture(name, rng)
        return Part(None, deed, gesture_seconds(deed, rng))
    return Part(_legs(name, rng, short=short))


def _parallel(legs: str, gesture: str, rng: np.random.Generator, alone: bool = False) -> Part:
    """An action with a gesture over it."""
    deed = _legs(legs, rng, short=not alone, carries=True)
    over = _gesture(gesture, rng)
    says = {k: v for k, v in over.says.items() if k not in ("count", "tempo")}
    return Part(deed, Deed(over.action, says))


def _tempo(rng: np.random.Generator) -> str:
    return _one(("normal", "normal", "slow", "fast"), rng)


def _side(rng: np.random.Generator) -> str:
    return _one(("left", "right"), rng)


def _legs(
    name: str,
    rng: np.random.Generator,
    style: str | None = None,
    alone: bool = False,
    short: bool = False,
    carries: bool = False,
) -> Deed:
    """An action with its settings. alone: the clip's only part; short: one of several; carries: a gesture over it."""
    if style is None and name in STYLES_OF and not carries and rng.random() < STYLED:
        style = _one(STYLES_OF[name], rng)
    styled: dict[str, Any] = {} if style is None else {"style": style}
    if name in ("walk", "walk backward"):
        return Deed("walk", _walk(name, styled, rng, alone, short))
    side = {"side": _side(rng)}
    if name == "side step":
        return Deed(name, {**side, "count": _one((2, 3, 4) if carries else (1, 2, 3), rng), **styled})
    if name == "turn":
        amounts = ("half", "full") if carries else ("quarter", "half", "half", "a little") if short else AMOUNTS
        tempo = {} if style else {"tempo": _one(("normal", "normal", "slow"), rng)}
        return Deed(name, {**side, "amount": _one(amounts, rng), **styled, **tempo})
    if name == "march":
        return Deed(name, {"steps": int(rng.integers(4, 9 if short else 11)), **styled})
    if name == "stand":
        return Deed(name, {"seconds": float(rng.uniform(2.0, 3.0 if short else 5.0)), "sway": not short})
    few = (1, 1, 2) if short else (1, 1, 2, 3)
    tempo = {"tempo": _tempo(rng)}
    if name == "step":
        return Deed(name, {"way": _one(("forward", "backward"), rng), "count": _one((1, 2), rng), "lead": _side(rng)})
    if name == "squat":
        hold = bool(rng.random() < 0.25)
        count = 1 if hold else _one(few, rng)
        return Deed(name, {"depth": _one(("low", "slight"), rng), "count": count, "hold": hold, **tempo})
    if name == "kick":
        return Deed(name, {**side, "level": _one(("low", "high"), rng), "count": _one(few, rng)})
    if name == "raise knee":
        return Deed(name, {**side, "hold": bool(rng.random() < 0.4), **tempo})
    if name == "bow":
        return Deed(name, {"depth": _one(("deep", "slight"), rng), "count": _one((1, 1, 1, 2), rng), **tempo})
    if name == "punch":
        return Deed(name, {**side, "count": _one((1, 2, 3), rng)})
    if name == "jump":
        way = _one(("up", "up", "forward", "small"), rng)
        count = int(rng.integers(3, 6)) if way == "small" else _one(few, rng)
        return Deed(name, {"way": way, "count": count})
    return Deed(name, {**side, **tempo})


AMOUNTS = ("a little", "quarter", "quarter", "half", "half", "full")


def _walk(name: str, styled: dict[str, Any], rng: np.random.Generator, alone: bool, short: bool) -> dict[str, Any]:
    """Settings of a walk."""
    back = name == "walk backward"
    says: dict[str, Any] = {"way": "backward" if back else "forward", **styled}
    if not styled:
        says["pace"] = _one(("slow", "normal", "fast"), rng) if not back else _one(("slow", "normal"), rng)
    if not back:
        curves = ("straight", "straight", "curve", *(("circle",) if alone and not styled else ()))
        says["curve"] = _one(curves, rng)
        if says["curve"] != "straight":
            says["side"] = _side(rng)
        if says["curve"] == "circle":
            says["pace"] = "normal"
    brisk = (says.get("pace") in ("normal", "fast") and not back) or styled.get("style") in ("big steps", "cheerful")
    low, high = (4.0 if brisk else 3.2), (4.6 if short else 6.8)
    says["seconds"] = float(rng.uniform(8.6, 9.8) if says.get("curve") == "circle" else rng.uniform(low, high))
    if alone and says.get("curve") != "circle":
        says["starts"], says["stops"] = (_one(("standing", "moving"), rng) for _ in range(2))
    return says


def _gesture(name: str, rng: np.random.Generator) -> Deed:
    """A gesture with its settings."""
    side, tempo = {"side": _side(rng)}, {"tempo": _tempo(rng)}
    if name == "wave":
        return Deed(name, {**side, "count": _one((None, 2, 3, 4), rng), **tempo})
    if name in ("raise arm", "raise arms"):
        whose = side if name == "raise arm" else {"side": "both"}
        return Deed("raise arm", {**whose, "way": _one(("to the side", "in front", "overhead"), rng), **tempo})
    if name == "point":
        return Deed(name, {**side, "way": _one(("ahead", "to the side", "up"), rng), **tempo})
    if name == "clap":
        return Deed(name, {"count": _one((None, 2, 3, 4), rng), **tempo})
    if name == "nod":
        return Deed(name, {"count": _one((None, 1, 2, 3), rng), **tempo})
    if name == "look around":
        return Deed("look", {"side": "both", **tempo})
    return Deed(name, {**({} if name in ("hands on hips", "shake head") else side), **tempo})


def gesture_seconds(deed: Deed, rng: np.random.Generator) -> float:
    """How long a gesture takes on its own, seconds."""
    slow = {"slow": 1.6, "normal": 1.0, "fast": 0.75}[deed.says["tempo"]]
    count = deed.says.get("count")
    if deed.action in ("wave", "clap"):
        beats = (count or float(rng.uniform(3, 6))) / 1.6
        return max(0.6, 0.7 * slow) * 2 + 0.3 + max(beats, 0.6) * slow
    if deed.action == "nod":
        return max(1.2, 0.5 + (count or float(rng.uniform(2, 4))) * 0.85 * slow)
    if deed.action == "shake head":
        return 0.5 + float(rng.uniform(2, 4)) * 0.9 * slow
    if deed.action == "look" and deed.says["side"] == "both":
        return 0.5 + float(rng.uniform(2.4, 3.2)) * slow
    rise = {"overhead": 1.2, "up": 0.8}.get(str(deed.says.get("way")), 0.9)
    return max(2.0, 2 * rise * slow + float(rng.uniform(0.5, 1.3)) + 0.4)
