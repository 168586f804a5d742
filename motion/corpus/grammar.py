"""From deeds to sentences: several grammars over one lexicon, each sentence with the facts that it states.

Facts are names that `generator.adherence` knows ("wave left", "walk slowly", "walk forward, then wave left"); a
sentence states those of the settings that its words tell and no others.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .compose import Deed, Part
from .held_out import HELD_OUT, HELD_OUT_JOINTS, HELD_OUT_MODIFIERS, HELD_OUT_WORDS
from .lexicon import CAPTIONS, JOINTS, LONG_OPENINGS, LONG_THEN, LONG_WHILE, MODIFIERS, SUBJECTS, TIMES
from .phrase import Phrase
from .synonyms import JOINT_SYNONYMS, MODIFIER_SYNONYMS, SYNONYMS

COUNTS = ("no", "one", "two", "three", "four", "five")
_SHORT = """step clap squat nod hop bob dip slip strut trot trek skip plod drag jog jab wag tap
    sag spin grab slap flap scan put sit get stop run hit swat snap pat tip pop whip set prop split drop flag
    flip pad slog wham"""
DOUBLED = frozenset(_SHORT.split())
"""Verbs of one short syllable that double their last letter."""
PRONOUNS = {
    "they": ("they", "their", "them"),
    "he": ("he", "his", "him"),
    "she": ("she", "her", "her"),
    "you": ("you", "your", "you"),
    "": ("", "", ""),
}
TOLD = {
    "style": 0.85, "pace": 0.75, "tempo": 0.75, "curve": 0.8, "count": 0.8, "depth": 0.55, "amount": 0.7, "hold": 0.8,
    "level": 0.55, "way": 1.0,
}  # fmt: skip
"""How often a sentence tells a setting that its verb phrase leaves to adverbs; a way of raising an arm always."""
UNTOLD = {"seconds", "starts", "stops", "sway", "steps", "lead"}
ADVERB_ORDER = ("way", "level", "depth", "amount", "curve", "style", "pace", "tempo", "count", "hold")
"""In which order adverbs follow a verb phrase, more or less."""
SILENT = {("pace", "normal"): 0.4, ("tempo", "normal"): 0.0, ("curve", "straight"): 0.3, ("hold", False): 0.0}
"""Settings of which there is little or nothing to say."""


@dataclass(frozen=True)
class Prompt:
    """text: what is asked for; facts: names of what a clip must show (`generator.adherence.fact`)."""

    text: str
    facts: tuple[str, ...]


def inflected(verb: str, form: str) -> str:
    """A verb as "s" (walks), "ing" (walking) or "base" (walk)."""
    if form == "base":
        return verb
    if form == "s":
        if verb in ("do", "go"):
            return verb + "es"
        if re.search(r"(s|x|ch|sh|z)$", verb):
            return verb + "es"
        return verb[:-1] + "ies" if re.search(r"[^aeiou]y$", verb) else verb + "s"
    if verb.endswith("e") and not verb.endswith(("ee", "oe", "ye")):
        return verb[:-1] + "ing"
    last = verb.split("-")[-1]
    if last in DOUBLED:
        return verb + verb[-1] + "ing"
    return verb + "ing"


def kind(deed: Deed) -> str:
    """The lexicon's name of a deed."""
    if deed.action == "raise arm" and deed.says["side"] == "both":
        return "raise arms"
    if deed.action == "look" and deed.says["side"] == "both":
        return "look around"
    return deed.action


@dataclass(frozen=True)
class Clause:
    """A verb phrase whose verbs are still to be inflected, and the facts that it states."""

    text: str
    facts: tuple[str, ...]

    def said(self, form: str, pronoun: str) -> str:
        """The words, for a subject's pronoun."""
        they, their, them = PRONOUNS[pronoun]
        text = self.text.replace("{they}", they).replace("{their}", their).replace("{them}", them)
        text = re.sub(r"<([a-z-]+)>", lambda m: inflected(m[1], form), text)
        return re.sub(r"\s+", " ", text).strip()


@dataclass(frozen=True)
class Words:
    """A lexicon: phrases, adverbs and joints."""

    phrases: Mapping[str, Sequence[Phrase]]
    modifiers: Mapping[tuple[str, Any], Sequence[str]]
    joints: Mapping[str, Sequence[str]]


def _with(words: Mapping[Any, Sequence], more: Mapping[Any, Sequence]) -> dict[Any, list]:
    """Two tables as one."""
    return {key: [*words.get(key, ()), *more.get(key, ())] for key in {**words, **more}}


PLAIN = Words(_with(CAPTIONS, SYNONYMS), _with(MODIFIERS, MODIFIER_SYNONYMS), _with(JOINTS, JOINT_SYNONYMS))
RARE = Words(
    HELD_OUT, {k: (*HELD_OUT_MODIFIERS.get(k, ()), *v) for k, v in MODIFIERS.items()} | {
        k: v for k, v in HELD_OUT_MODIFIERS.items() if k not in MODIFIERS
    }, HELD_OUT_JOINTS,
)  # fmt: skip


def clause(deed: Deed, words: Words, rng: np.random.Generator, terse: bool = False) -> Clause:
    """A verb phrase for a deed."""
    says = {name: value for name, value in deed.says.items() if name not in UNTOLD}
    fitting = [
        p for p in words.phrases[kind(deed)]
        if p.terse == terse and all(deed.says.get(name) == value for name, value in p.when.items())
    ]  # fmt: skip
    if not fitting:
        raise LookupError(f"no {'terse ' if terse else ''}phrase for {deed}")
    special = [p for p in fitting if set(p.when) - {"way"}]
    if special and len(special) < len(fitting) and rng.random() < 0.5:
        fitting = special
    phrase = _one(fitting, rng)
    told = set(phrase.when)
    text = phrase.text
    for slot in re.findall(r"{(\w+)}", text):
        if slot.startswith("count"):
            told.add("count")
        if slot == "side":
            told.add("side")
    if "{mods}" in text:
        mods = []
        for name in sorted({n for n in says if says[n] is not None} - told - {"side"}, key=ADVERB_ORDER.index):
            adverb = _adverb(name, says[name], words, text + " ".join(mods), rng, terse)
            if adverb is not None and not (terse and len(mods) == 2):
                told |= {name} | ({"side"} if "{side}" in adverb else set())
                mods.append(adverb)
        text = text.replace("{mods}", "".join(" " + adverb for adverb in mods))
    count = says.get("count", 1)
    number = COUNTS[count] if isinstance(count, int) and count < len(COUNTS) else str(count)
    for noun in ("step", "punch", "jump"):
        plural = noun if count == 1 else noun + ("es" if noun == "punch" else "s")
        slot = "count_punches" if noun == "punch" else f"count_{noun}s"
        text = text.replace("{" + slot + "}", f"{'a' if count == 1 and noun != 'step' else number} {plural}")
    text = text.replace("{count} side steps", "one side step" if count == 1 else "{count} side steps")
    text = text.replace("{count} squats", "one squat" if count == 1 else "{count} squats")
    text = text.replace("{count} kicks", "one kick" if count == 1 else "{count} kicks")
    text = text.replace("{count} steps", "one step" if count == 1 else "{count} steps")
    text = text.replace("{count}", number).replace("{side}", str(says.get("side", "")))
    return Clause(text, facts(deed, told))


def _one(options: Sequence, rng: np.random.Generator):
    return options[int(rng.integers(len(options)))]


def _adverbs(name: str, value: Any, words: Words) -> Sequence[str]:
    if name == "count":
        return TIMES.get(value, ())
    return words.modifiers.get((name, value), ())


def _adverb(name: str, value: Any, words: Words, text: str, rng: np.random.Generator, terse: bool) -> str | None:
    """Words for a setting that do not repeat the text's, or None if this sentence leaves it out."""
    said = set(re.findall(r"[a-z]{4,}", text))
    options = [
        adverb for adverb in _adverbs(name, value, words)
        if not (terse and "{" in adverb.replace("{side}", "")) and not said & set(re.findall(r"[a-z]{4,}", adverb))
    ]  # fmt: skip
    if not options or rng.random() > SILENT.get((name, value), TOLD.get(name, 0.8)):
        return None
    if name == "count" and value == 1 and rng.random() < 0.6:
        return None
    return _one(options, rng)


BASES = {
    "walk": "walk {way}", "step": "step {way}", "raise arms": "raise both arms", "jump": "{jump}",
}  # fmt: skip
SPEEDS = {"slow": "slowly", "normal": "normally", "fast": "quickly"}
NUMBER = {1: "once", 2: "twice", 3: "three times", 4: "four times", 5: "five times"}


def facts(deed: Deed, told: set[str]) -> tuple[str, ...]:
    """Names of what a deed does, as far as its told settings say."""
    says, action = deed.says, kind(deed)
    base = BASES.get(action, action).format(
        way=says.get("way", ""), jump="jump forward" if says.get("way") == "forward" else "jump"
    )
    side = says.get("side") if "side" in told and says.get("side") in ("left", "right") else None
    named = [base if side is None or action == "walk" else f"{base} {side}"]
    for name in sorted(told & set(says)):
        value = says[name]
        if name == "curve":
            named.append(value if side is None or value == "straight" else f"{value} {side}")
        elif name in ("pace", "tempo"):
            named.append(f"{base if action == 'walk' and says.get('way') == 'backward' else action} {SPEEDS[value]}")
        elif name == "style":
            named.append(str(value))
        elif name == "count":
            named.append(f"{action} {NUMBER.get(value, value)}")
        elif name == "hold" and value:
            named.append(f"hold {action}")
        elif name in ("depth", "level", "amount"):
            named.append(f"{action} {value}")
        elif name == "way" and action in ("raise arm", "raise arms", "point"):
            named.append(f"{'arms' if action == 'raise arms' else 'arm'} {value}")
    return tuple(dict.fromkeys(named))


def sentence(parts: Sequence[Part], words: Words, style: str, rng: np.random.Generator) -> Prompt:
    """One sentence of the parts in a grammar: plain, progressive, imperative, terse or long."""
    told = [_part(part, words, style, rng) for part in parts]
    stated = told[0].facts if len(told) == 1 else (", then ".join(" and ".join(c.facts) for c in told),)
    who, pronoun = _one(SUBJECTS, rng)
    if style in ("imperative", "terse"):
        pronoun = "you" if style == "imperative" else ""
        text = _chain(told, "base", pronoun, _one(words.joints[f"{style} then"], rng) if len(told) > 1 else "")
        return Prompt(text if style == "terse" or rng.random() < 0.5 else _sentence(text), stated)
    form = "base" if pronoun == "they" else "s"
    then = _one(LONG_THEN if style == "long" and words is PLAIN else words.joints["then"], rng)
    body = _chain(told, "s", pronoun, then, form, progressive=style == "progressive")
    text = _one(LONG_OPENINGS, rng).format(who=who, s=body) if style == "long" else _subject(who, body)
    return Prompt(_sentence(text), stated)


FIRST = re.compile(r"^(first|to begin with) ")


def _subject(who: str, body: str) -> str:
    match = FIRST.match(body)
    return f"{match[1]} {who} {body[match.end() :]}" if match else f"{who} {body}"


def _sentence(text: str) -> str:
    return text if text.endswith(".") else text + "."


@dataclass(frozen=True)
class Told:
    """What one part is told by: a clause, or two at the same time joined by `joint`."""

    clauses: tuple[Clause, ...]
    joint: str

    @property
    def facts(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(f for c in self.clauses for f in c.facts))

    def said(self, form: str, pronoun: str, plural: str) -> str:
        """form: of the main verb; plural: of a verb after the pronoun."""
        if len(self.clauses) == 1:
            return self.clauses[0].said(form, pronoun)
        first, second = self.clauses
        return self.joint.format(
            a=first.said(form, pronoun), b=second.said(plural if "{they} {b}" in self.joint else form, pronoun),
            ing=second.said("ing", pronoun), they=PRONOUNS[pronoun][0],
        )  # fmt: skip


def _part(part: Part, words: Words, style: str, rng: np.random.Generator) -> Told:
    terse = style == "terse"
    deeds = list(part.deeds)
    if len(deeds) == 2 and rng.random() < 0.3:
        deeds.reverse()
    joints = LONG_WHILE if style == "long" and words is PLAIN else words.joints[
        {"terse": "terse while", "imperative": "imperative while"}.get(style, "while")
    ]  # fmt: skip
    return Told(tuple(clause(deed, words, rng, terse) for deed in deeds), _one(joints, rng))


def _chain(
    told: Sequence[Told], form: str, pronoun: str, then: str, plural: str | None = None, progressive: bool = False
) -> str:
    plural = plural or form

    def main(part: Told, follows: bool) -> str:
        if progressive and not follows:
            return "is " + part.said("ing", pronoun, plural)
        return part.said(form, pronoun, plural)

    text = main(told[0], False)
    for k, part in enumerate(told[1:]):
        joint = then if k == 0 else then.replace("first ", "").replace("to begin with ", "")
        b = part.said(plural if "{they} {b}" in joint else form, pronoun, plural)
        text = joint.format(a=text, b=b, ing=part.said("ing", pronoun, plural), they=PRONOUNS[pronoun][0])
    return text


GRAMMARS = ("plain", "plain", "progressive", "imperative", "terse", "long")


def captions(parts: Sequence[Part], rng: np.random.Generator) -> list[Prompt]:
    """Three to five different sentences for what a clip does, by different grammars."""
    wanted = int(rng.integers(3, 6))
    order = [GRAMMARS[k] for k in rng.permutation(len(GRAMMARS))]
    found: dict[str, Prompt] = {}
    for k in range(4 * wanted):
        prompt = sentence(parts, PLAIN, order[k % len(order)], rng)
        found.setdefault(prompt.text, prompt)
        if len(found) == wanted:
            break
    return list(found.values())


def has_held_out_word(text: str) -> bool:
    """Whether a text uses a word that captions do not."""
    return any(is_held_out(word) for word in re.findall(r"[a-z-]+", text.lower()))


def is_held_out(word: str) -> bool:
    """Whether a word is a form of one that is kept from captions."""
    return any(
        word in (plain, plain + "s", plain + "es", plain + "ed", inflected(plain, "ing")) for plain in HELD_OUT_WORDS
    )
