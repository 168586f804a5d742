"""Editing: what a generator makes of clips and instructions, between the unedited clip and the corpus's own edit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from morphloop.base import MotionError
from morphloop.motion import Clip
from morphloop.motion.corpus.edits import Edit, EditPair, EditPairs

from ..config import Seconds
from ..editing import check_instruction
from ..facts import fact, holds
from ..task_templates import edit_words

SECONDS = (1.5, 10.0)
"""Bounds of an edited clip."""
Edited = Callable[[Sequence[Clip], Sequence[str], int, Seconds], list[Clip]]
"""As `MotionLLM.edit`."""


def bench_edits(edited: Edited, count: int, samples: int, seed: int) -> dict[str, Any]:
    """Shares of clips that show what was asked, and of what else they showed before that they still show.

    Of the pairs of the corpus's test split the first `count` are taken whose own clips differ in the asked fact by the
    checks on the whole clip, and whose instruction is not refused; those passed over are counted. Three rows: "edited"
    by the generator, "source" left as it is, and "corpus", the pair's own edit; kept facts are those that the check
    finds in the source.
    """
    found: list[tuple[EditPair, str]] = []
    looked, pairs = 0, EditPairs(4 * count, seed, "test")
    while len(found) < count and looked < len(pairs):
        pair = pairs[looked]
        text = edit_words().instruction(pair.edit, np.random.default_rng([seed, looked]))
        looked += 1
        if holds(pair.edited, pair.edit.asked) and not holds(pair.source, pair.edit.asked) and _taken(pair, text):
            found.append((pair, text))
    rows = [one for one in found for _ in range(samples)]
    made = edited([pair.source for pair, _ in rows], [text for _, text in rows], seed, SECONDS)
    each = [pair for pair, _ in found]
    told = {
        "edited": _row([pair.edit for pair, _ in rows], [pair.source for pair, _ in rows], made),
        "source": _row([pair.edit for pair in each], [pair.source for pair in each], [pair.source for pair in each]),
        "corpus": _row([pair.edit for pair in each], [pair.source for pair in each], [pair.edited for pair in each]),
    }
    return {"pairs": len(found), "samples": samples, "passed_over": looked - len(found), "rows": told}


def _taken(pair: EditPair, instruction: str) -> bool:
    """Whether an instruction is taken for the pair's source."""
    try:
        check_instruction(pair.source, instruction)
    except MotionError:
        return False
    return True


def _row(edits: Sequence[Edit], sources: Sequence[Clip], clips: Sequence[Clip]) -> dict[str, Any]:
    """asked: share of clips that show the asked fact; kept: share of the sources' other facts that they show as well;
    both: share of clips that show what was asked and all of the others; by_kind: how many show it, of how many."""
    done, kept, whole = [], [], []
    for edit, source, clip in zip(edits, sources, clips, strict=True):
        others = [fact(name).passes(clip) for name in edit.kept if fact(name).passes(source)]
        done.append(holds(clip, edit.asked))
        kept += others
        whole.append(done[-1] and all(others))
    kinds = np.array([edit.kind for edit in edits])
    counts = {kind: np.array(done)[kinds == kind] for kind in sorted({*kinds.tolist()})}
    return {
        "asked": float(np.mean(done)),
        "kept": float(np.mean(kept)) if kept else None,
        "both": float(np.mean(whole)),
        "by_kind": {kind: [int(own.sum()), len(own)] for kind, own in counts.items()},
    }
