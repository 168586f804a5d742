"""Pairs of described clips of which one is the other with a single setting changed: what editing is learnt from.

Both are composed from the same draws, so that feet, sizes and times that do not hang on the setting are the same; a
gesture on its own takes the time that its new setting wants.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, overload

import numpy as np

from morphloop.base.errors import MotionError

from ..clip import Clip
from .balance import FPS
from .compose import Composed, Deed, Part, compose
from .described import MAX_SECONDS, SPLITS, STYLES_OF, UNSEEN, draw_script, gesture_seconds, key, pairs, solved, stance
from .draw import Draw
from .grammar import UNTOLD, captions, facts, kind

KINDS = ("arm", "leg", "direction", "speed", "style")
"""What an edit changes; each is drawn as often as any other."""
EDIT_SPLITS = ("train", "test")
"""Splits of the corpus that pairs are drawn from."""
SIDES_OF = {
    **dict.fromkeys(("wave", "raise arm", "point", "salute", "reach", "punch"), "arm"),
    **dict.fromkeys(("kick", "raise knee", "lunge"), "leg"),
    **dict.fromkeys(("side step", "turn", "lean", "look"), "direction"),
}
"""What a change of side is, by action."""
WAYS_OF = {
    "raise arm": ("to the side", "in front", "overhead"),
    "point": ("ahead", "to the side", "up"),
    "step": ("forward", "backward"),
}
"""Directions of an action that has some beside its side."""
OTHER = {"left": "right", "right": "left"}


@dataclass(frozen=True)
class Edit:
    """A setting of one deed that is changed. kind: one of `KINDS`; part: place of the deed's part in the script; deed:
    its name in the lexicon; setting: its name; old, new: its values, None for no style; alone: whether nothing else in
    the clip could be meant; asked: facts (`generator.facts`) that the setting's new value states; kept: facts of all
    that stays."""

    kind: str
    part: int
    deed: str
    setting: str
    old: Any
    new: Any
    alone: bool
    asked: tuple[str, ...]
    kept: tuple[str, ...]


@dataclass(frozen=True)
class EditPair:
    """A clip, the same with an edit, and the edit."""

    source: Clip
    edited: Clip
    edit: Edit


class EditPairs(Sequence[EditPair]):
    """`count` pairs of clips as `make_described` has them; a pair is solved when it is asked for, and the same seed
    gives the same bytes. split: one of `EDIT_SPLITS`. Raises MotionError for a bad count or split."""

    def __init__(self, count: int, seed: int, split: str = "train") -> None:
        if count < 0 or split not in EDIT_SPLITS:
            raise MotionError(
                f"edits: {count} pairs of split '{split}', expected 0 or more of one of {', '.join(EDIT_SPLITS)}"
            )
        self._count, self.seed, self.split = count, seed, split

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, index: int) -> EditPair: ...
    @overload
    def __getitem__(self, index: slice) -> list[EditPair]: ...
    def __getitem__(self, index: int | slice) -> EditPair | list[EditPair]:
        if isinstance(index, slice):
            return [self._pair(number) for number in range(self._count)[index]]
        return self._pair(range(self._count)[index])

    @property
    def edits(self) -> Iterator[Edit]:
        """The edit of each pair, without solving it."""
        return (_plan(self.seed, self.split, number)[2] for number in range(self._count))

    def _pair(self, number: int) -> EditPair:
        before, after, edit = _plan(self.seed, self.split, number)
        source, edited = (
            solved(
                parts,
                composed,
                captions(parts, _stream(self.seed, self.split, number, 2)),
                f"edit_{self.split}_{self.seed}_{number:05d}_{name}",
                self.seed,
                self.split,
            )
            for name, (parts, composed) in (("source", before), ("edited", after))
        )
        return EditPair(source, edited, edit)


Planned = tuple[list[Part], Composed]


def _stream(seed: int, split: str, number: int, *place: int) -> np.random.Generator:
    return np.random.default_rng([seed, 20 + SPLITS.index(split), number, *place])


def _plan(seed: int, split: str, number: int) -> tuple[Planned, Planned, Edit]:
    """Both clips' parts with their plans, and what is changed."""
    rng = _stream(seed, split, number, 0)
    wanted = KINDS[int(rng.integers(len(KINDS)))]
    while True:
        parts = draw_script(rng, split)
        options = [(edit, change) for edit, change in possible_edits(parts) if edit.kind == wanted]
        if not options:
            continue
        edit, change = options[int(rng.integers(len(options)))]
        timing = int(rng.integers(1 << 31))
        scripts = [_timed(parts, change[0], timing), _timed(changed(parts, *change), change[0], timing)]
        both = []
        for script in scripts:
            draw = Draw(_stream(seed, split, number, 1), split)
            composed = compose(draw, stance(draw, script), script)
            if composed.keep.stop - composed.keep.start <= MAX_SECONDS * FPS:
                both.append((script, composed))
        if len(both) == 2:
            return both[0], both[1], edit


Change = tuple[int, Deed, Deed]
"""Place of a part, a deed of it, and what stands in that deed's place."""


def changed(parts: Sequence[Part], place: int, old: Deed, new: Deed) -> list[Part]:
    """A script with a deed in another's place."""
    part, made = parts[place], list(parts)
    made[place] = replace(part, legs=new) if part.legs is old else replace(part, gesture=new)
    return made


def _timed(parts: Sequence[Part], place: int, timing: int) -> list[Part]:
    """A script whose gesture at a place, if it stands alone there, takes the time that a seed gives it."""
    part, made = parts[place], list(parts)
    if part.legs is None and part.gesture is not None:
        made[place] = replace(part, seconds=gesture_seconds(part.gesture, np.random.default_rng(timing)))
    return made


def possible_edits(parts: Sequence[Part]) -> list[tuple[Edit, Change]]:
    """Every edit of a script that names one deed and makes no pair of `UNSEEN`."""
    deeds = [(place, deed) for place, part in enumerate(parts) for deed in part.deeds]
    names = [kind(deed) for _, deed in deeds]
    found: list[tuple[str, str, Change]] = []
    for place, deed in deeds:
        if names.count(kind(deed)) > 1:
            continue
        carries = len(parts[place].deeds) > 1
        for what, setting, says in (*_sides(deed), *_ways(deed), *_speeds(deed), *(() if carries else _styles(deed))):
            found.append((what, setting, (place, deed, Deed(deed.action, says))))
    made = []
    for what, setting, (place, old, new) in found:
        script = changed(parts, place, old, new)
        if pairs(script) & UNSEEN:
            continue
        same = {id(change[1]) for other, _, change in found if other == what}
        alone = len(deeds) == 1 or (what in ("arm", "leg") and len(same) == 1)
        before, after = stated(parts), stated(script)
        edit = Edit(
            what,
            place,
            kind(old),
            setting,
            old.says.get(setting),
            new.says.get(setting),
            alone,
            tuple(name for name in after if name not in before),
            tuple(name for name in after if name in before),
        )
        if edit.asked:
            made.append((edit, (place, old, new)))
    return made


def stated(parts: Sequence[Part]) -> tuple[str, ...]:
    """Facts of every setting of a script that captions have words for, each once."""
    found: dict[str, None] = {}
    for part in parts:
        for deed in part.deeds:
            told = {name for name, value in deed.says.items() if value is not None and name not in UNTOLD}
            if deed.says.get("tempo") == "normal":
                told.discard("tempo")
            found |= dict.fromkeys(facts(deed, told))
    return tuple(found)


Option = tuple[str, str, dict[str, Any]]
"""Kind of edit, setting, and the deed's settings after it."""


def _sides(deed: Deed) -> Iterator[Option]:
    side = deed.says.get("side")
    what = "direction" if deed.action == "walk" else SIDES_OF.get(deed.action)
    if side in OTHER and what is not None:
        yield what, "side", {**deed.says, "side": OTHER[side]}


def _ways(deed: Deed) -> Iterator[Option]:
    says = dict(deed.says)
    for way in WAYS_OF.get(deed.action, ()):
        if way != says["way"]:
            yield "direction", "way", {**says, "way": way}
    if deed.action == "walk" and says.get("pace") != "fast" and says.get("curve", "straight") == "straight":
        back = says["way"] == "forward"
        styles = STYLES_OF["walk backward" if back else "walk"]
        if says.get("style") is None or says["style"] in styles:
            says.pop("curve", None)
            turned = {"way": "backward"} if back else {"way": "forward", "curve": "straight"}
            yield "direction", "way", {**says, **turned}


def _speeds(deed: Deed) -> Iterator[Option]:
    says = dict(deed.says)
    setting = "pace" if "pace" in says else "tempo"
    if setting not in says or says.get("curve") == "circle":
        return
    speeds = {"pace": ("slow", "normal", "fast"), "tempo": ("slow", "fast")}[setting]
    if deed.action == "turn" or says.get("way") == "backward":
        speeds = speeds[:-1]
    for speed in speeds:
        if speed != says[setting]:
            yield "speed", setting, {**says, setting: speed}


def _styles(deed: Deed) -> Iterator[Option]:
    says = {name: value for name, value in deed.says.items() if name not in ("pace", "tempo")}
    for style in STYLES_OF.get(key(deed), ()):
        if style != says.get("style") and says.get("curve") != "circle":
            yield "style", "style", {**says, "style": style}
