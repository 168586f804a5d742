"""How tasks are asked for in words: the files of `templates/`, one a task, with many phrasings each."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from morphloop.base import MotionError
from morphloop.base.opening import in_one_line, read_utf8
from morphloop.base.typed import from_dict
from morphloop.motion.corpus.edits import KINDS, Edit

from .facts import fact
from .training import Instructions, ReadTexts

FOLDER = Path(__file__).parent / "templates"
TASKS = ("prediction", "in_between", "captioning")
"""Tasks whose templates stand for themselves; those of editing name what is edited."""
MAX_BYTES = 1 << 18
SLOTS = {
    "side": ("do", "doing", "limb", "side", "old"),
    "way": ("do", "doing", "new"),
    "pace": ("do", "doing", "new", "more"),
    "tempo": ("do", "doing", "new", "more"),
    "style": ("do", "doing", "new"),
}
"""What a template of editing may leave open, by the setting that is changed."""
SPEEDS = ("slow", "normal", "fast")
Lists = Mapping[str, dict[str, tuple[str, ...]]]
"""Templates by setting, then by `any`, `named` or a deed."""


@dataclass(frozen=True)
class Task:
    """templates: phrasings of a task."""

    templates: tuple[str, ...]

    def __post_init__(self) -> None:
        _check_texts("templates", self.templates, ())


@dataclass(frozen=True)
class About:
    """What an instruction may be about. words: a regular expression that finds it; shows: facts of which a motion shows
    one if it does this; do, doing, limb: its words in templates."""

    words: str
    shows: tuple[str, ...]
    do: str = ""
    doing: str = ""
    limb: str = ""

    def __post_init__(self) -> None:
        try:
            re.compile(self.words)
        except re.error as error:
            raise MotionError(f"words '{self.words[:40]}' are no regular expression ({error})") from None
        for name in self.shows:
            fact(name)


@dataclass(frozen=True)
class EditWords:
    """Templates of editing, as `templates/editing.toml` explains them."""

    rest: tuple[str, ...]
    arm: dict[str, dict[str, tuple[str, ...]]]
    leg: dict[str, dict[str, tuple[str, ...]]]
    direction: dict[str, dict[str, tuple[str, ...]]]
    speed: dict[str, dict[str, tuple[str, ...]]]
    style: dict[str, dict[str, tuple[str, ...]]]
    values: dict[str, dict[str, tuple[str, ...]]]
    compared: dict[str, tuple[str, ...]]
    deeds: dict[str, About]
    limbs: dict[str, About]

    def __post_init__(self) -> None:
        if not self.rest:
            raise MotionError("rest: no text, expected one or more, which may be empty")
        for kind in KINDS:
            for setting, lists in self.lists(kind).items():
                if setting not in SLOTS:
                    raise MotionError(f"{kind}.{setting}: is no setting, expected one of {', '.join(SLOTS)}")
                for name, texts in lists.items():
                    if name not in ("any", "named", *self.deeds):
                        raise MotionError(f"{kind}.{setting}.{name}: is neither any, named nor one of deeds")
                    _check_texts(f"{kind}.{setting}.{name}", texts, SLOTS[setting])
        for setting, values in self.values.items():
            for name, texts in values.items():
                _check_texts(f"values.{setting}.{name}", texts, ())
        for name, texts in self.compared.items():
            _check_texts(f"compared.{name}", texts, ())

    def lists(self, kind: str) -> Lists:
        """Templates of a kind of edit."""
        return getattr(self, kind)

    def instruction(self, edit: Edit, rng: np.random.Generator) -> str:
        """An instruction that asks for an edit; MotionError if there is no template or no word for it."""
        lists = self.lists(edit.kind).get(edit.setting, {})
        options = [*lists.get(edit.deed, lists.get("named", ())), *(lists.get("any", ()) if edit.alone else ())]
        if not options or edit.deed not in self.deeds:
            raise MotionError(f"editing: no template for {edit.kind}.{edit.setting} of '{edit.deed}'")
        deed, slots = self.deeds[edit.deed], {"side": edit.new, "old": edit.old}
        slots |= {"do": deed.do, "doing": deed.doing, "limb": deed.limb}
        if edit.setting != "side":
            slots["new"] = _one(self._known(self.values.get(edit.setting, {}), edit.new), rng)
        if edit.setting in ("pace", "tempo"):
            up = SPEEDS.index(edit.new) - SPEEDS.index(edit.old)
            slots["more"] = _one(self._known(self.compared, str(up)), rng)
        return _one(options, rng).format(**slots) + _one(self.rest, rng)

    def _known(self, words: Mapping[str, tuple[str, ...]], value: str) -> tuple[str, ...]:
        if value not in words:
            raise MotionError(f"editing: no word for '{value}'")
        return words[value]

    def instructions(self, edit: Edit, count: int, rng: np.random.Generator) -> list[str]:
        """Up to `count` different instructions for an edit."""
        found: dict[str, None] = {}
        for _ in range(4 * count):
            found.setdefault(self.instruction(edit, rng))
            if len(found) == count:
                break
        return list(found)


def read_task(path: Path | str) -> Task:
    """The templates of a file; MotionError, one line, names what is wrong in it."""
    return from_dict(Task, _toml(path), path)


def read_edit_words(path: Path | str) -> EditWords:
    """The templates of editing of a file; MotionError, one line, names what is wrong in it."""
    return from_dict(EditWords, _toml(path), path)


@cache
def task_templates(task: str) -> tuple[str, ...]:
    """Phrasings of one of `TASKS`."""
    return read_task(FOLDER / f"{task}.toml").templates


def instructions_for(share: float, read: ReadTexts) -> Instructions | None:
    """Phrasings of `TASKS` as prompts, for a share of the examples; None for no share."""
    return Instructions(share, {task: read(task_templates(task)) for task in TASKS}) if share else None


@cache
def edit_words() -> EditWords:
    """The templates of editing that ship."""
    return read_edit_words(FOLDER / "editing.toml")


def _toml(path: Path | str) -> dict[str, Any]:
    try:
        return tomllib.loads(read_utf8(path, MAX_BYTES, "templates (TOML)"))
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise MotionError(f"{path}: not TOML ({in_one_line(error, 80)}), expected templates") from None


def _check_texts(name: str, texts: Sequence[str], slots: Sequence[str]) -> None:
    """MotionError for no text, an empty one, and one that leaves open what nobody fills in."""
    if not texts or not all(text.strip() for text in texts):
        raise MotionError(f"{name}: {'has an empty text' if texts else 'no text'}, expected one or more")
    for text in texts:
        left = re.sub("|".join(rf"\{{{slot}\}}" for slot in slots) or "$^", "", text)
        if "{" in left or "}" in left:
            known = ", ".join(f"{{{slot}}}" for slot in slots) or "no braces"
            raise MotionError(f"{name}: '{text[:60]}' has braces that nothing fills, expected {known}")


def _one(options: Sequence[str], rng: np.random.Generator) -> str:
    return options[int(rng.integers(len(options)))]
