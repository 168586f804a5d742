"""What a caption's words say: whether they name a side, an order, a direction or a speed, and which facts of a clip.

Which motions a caption fits decides what may count against whom. Clips of the built-in corpus say in their provenance
what they do; a caption fits each clip that has every fact that it names. Of other clips the captions are all there is:
a caption fits the clips that have the same one, whoever is its subject.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from morphloop.motion import Clip, JointTrack
from morphloop.motion.corpus.compose import Deed
from morphloop.motion.corpus.grammar import facts as facts_of

SUBJECT = re.compile(
    r"^(?:an?|the|this|some)? ?(?:person|man|woman|human|figure|character|someone|somebody|he|she|they)\b"
)
CLAUSE = re.compile(r"[,;.]|\b(?:and|while|then|as|before|after|until)\b")
SIDE = re.compile(r"\b(?:left|right)\b")
BOTH_SIDES = re.compile(r"\b(?:left|right)\b(?: \w+)? (?:and|or) (?:(?:the|their|its) )?\b(?:left|right)\b")
ORDER = re.compile(
    r"\b(?:then|before|after\w*(?! (?:the )?(?:other|another))|that is done|this is over|next|first|finally|later|"
    r"subsequently|thereafter|whereupon|followed by|begin with)\b|->"
)
GOES = r"\b(?:walk|step|strid|stroll|march|mov|shuffl|jog|run|dash|jump|hop|turn|rotat|spin|pivot|curv|go)(?:\w*)\b"
WAY = r"\b(?:forwards?|backwards?|back|ahead|sideways|left|right|(?:anti|counter)?clockwise)\b"
DIRECTION = re.compile(rf"{GOES}.*{WAY}")
STILL = re.compile(r"\b(?:still|idle|motionless|rests?|resting|swaying|shift\w*|poses?)\b|\bstand\w* in place\b")
SPEED = re.compile(
    r"\b(?:slow|quick|fast|brisk|rapid|swift|speed|leisure|sluggish|unhurried|hurr|hast|gradual)\w*\b"
    r"|\b(?:normal|steady|ordinary|medium) (?:\w+ )?pace\b|\btaking \w+ time\b"
)


@cache
def plain(caption: str) -> str:
    """A caption without capitals, punctuation and subject."""
    text = " ".join(re.sub(r"[^a-z0-9' ]", " ", caption.lower()).split())
    return SUBJECT.sub("", text).strip()


@cache
def names(caption: str) -> frozenset[str]:
    """Which of side, order, direction and speed a caption names."""
    text = caption.lower()
    found = {
        "side": bool(SIDE.search(text)) and not BOTH_SIDES.search(text),
        "order": bool(ORDER.search(text)),
        "direction": any(DIRECTION.search(clause) for clause in CLAUSE.split(text)),
        "speed": bool(SPEED.search(text)),
    }
    return frozenset(name for name, said in found.items() if said)


def other_side(caption: str) -> str:
    """The caption of the mirrored motion."""
    swap = {"left": "right", "right": "left", "Left": "Right", "Right": "Left"}
    return re.sub(r"\b[Ll]eft\b|\b[Rr]ight\b", lambda found: swap[found.group()], caption)


def rests(caption: str) -> bool:
    """Whether a caption tells of somebody who stays where and as they are."""
    return bool(STILL.search(caption.lower()))


@dataclass(frozen=True)
class Meaning:
    """What a clip does and says. facts: of the clip; named: those that each of its captions names, in their order."""

    facts: frozenset[str]
    named: tuple[frozenset[str], ...]

    def fits(self, caption: int, other: Meaning) -> bool:
        """Whether this clip's caption fits the other clip too."""
        return self.named[caption] <= other.facts


def meaning(motion: Clip | JointTrack) -> Meaning:
    """Facts of a motion and of its captions."""
    notes = motion.provenance.notes
    if "script" in notes and len(notes.get("facts", ())) == len(motion.texts):
        return _of_script(notes["script"], notes["facts"])
    facts = corpus_facts(notes)
    if facts is None:
        said = tuple(frozenset({plain(text)}) for text in motion.texts)
        return Meaning(frozenset().union(*said), said)
    action, *others = facts.items()
    named = tuple(
        frozenset({_fact(*action), *(_fact(*fact) for fact in others if re.search(NAMED_BY[fact[0]], text.lower()))})
        for text in motion.texts
    )
    return Meaning(frozenset(_fact(*fact) for fact in facts.items()), named)


def _of_script(script: Sequence[Sequence[Mapping[str, Any]]], stated: Sequence[Sequence[str]]) -> Meaning:
    """Meaning of a clip of `make_described`: facts part by part, in their order, with how many deeds a part has, so
    that a caption of a walk does not fit a walk with a wave. stated: the facts of each caption, as its notes have them.
    """
    counts = {f"{number} of {len(script)}: {len(part)} deeds" for number, part in enumerate(script)}
    known = set(counts)
    for number, part in enumerate(script):
        for deed in part:
            does = Deed(deed["action"], {name: value for name, value in deed.items() if name != "action"})
            for told in (set(does.says), set(does.says) - {"side"}):
                known |= {f"{number}: {fact}" for fact in facts_of(does, told)}
    named = []
    for facts in stated:
        parts = [part.split(" and ") for part in facts[0].split(", then ")] if len(script) > 1 else [facts]
        named.append(frozenset(counts | {f"{place}: {fact}" for place, part in enumerate(parts) for fact in part}))
    return Meaning(frozenset(known), tuple(named))


def _fact(name: str, value: Any) -> str:
    return f"{name} {value}"


NAMED_BY = {
    "pace": r"slow|quick|fast|normal",
    "curve": r"curv|straight",
    "side": r"\b(?:left|right)\b",
    "count": r"\b(?:one|two|three|four|five|six|seven|eight|nine|once|twice)\b",
    "waves": r"\btimes\b",
    "degrees": r"ninety|around|quarter|facing",
    "depth": r"\b(?:low|slightly|deeply)\b",
    "level": r"\b(?:low|medium)\b",
    "way": r"to the sides?\b|in front of|above",
}
"""Words by which a caption of the corpus names a fact, whatever its value."""


def corpus_facts(notes: Mapping[str, Any]) -> dict[str, Any] | None:
    """The action of a clip of the corpus, and what its captions may name of it; None for a clip of elsewhere."""
    action, given = notes.get("action"), notes.get("parameters")
    if not isinstance(action, str) or not isinstance(given, dict):
        return None
    facts: dict[str, Any] = {"action": action}
    facts |= {
        name: given[name] for name in ("pace", "curve", "side", "count", "degrees", "level", "way") if name in given
    }
    if action == "walk_backward":
        facts |= {"pace": "slow" if given.get("speed", 1.0) < 0.45 else "normal", "count": given.get("steps")}
    if action == "wave":
        facts["waves"] = given.get("waves", 0) > 2
    if action == "squat":
        facts["depth"] = given.get("depth", 0.0) > 0.32
    if action == "bow":
        facts["depth"] = given.get("deep")
    return facts
