"""Motion to text: what a generator writes of held-out clips, beside captions of the same clips and of others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from morphloop.language import load_text_encoder
from morphloop.language.text_encoder import SHIPPED_MODEL
from morphloop.metrics.caption_scores import caption_scores, installed
from morphloop.motion import Clip

Describe = Callable[[Sequence[Clip]], list[str]]


def bench_captions(describe: Describe, clips: Sequence[Clip], seed: int) -> dict[str, Any]:
    """Scores of the captions that a generator writes of clips, "written", between two rows of captions that there are.

    Of each clip one caption, drawn by `seed`, is taken out of its references. "same clip" is that one, which nobody
    need be better than; "other clip" the one of the next clip, which is what words without a look at the motion get.
    All three have the same references. Clips with one caption alone are left out.
    """
    clips = [clip for clip in clips if len(clip.texts) > 1]
    encoder, rng = load_text_encoder(), np.random.default_rng(seed)
    held = [int(rng.integers(len(clip.texts))) for clip in clips]
    own = [clip.texts[place] for clip, place in zip(clips, held, strict=True)]
    left = [clip.texts[:place] + clip.texts[place + 1 :] for clip, place in zip(clips, held, strict=True)]
    rows = {"written": describe(clips), "same clip": own, "other clip": own[1:] + own[:1]}
    return {
        "clips": len(clips),
        "text_encoder": {"name": encoder.name, "model": SHIPPED_MODEL, "hash": encoder.hash},
        "packages": installed(),
        "rows": {name: caption_scores(texts, left, encoder) for name, texts in rows.items()},
    }
