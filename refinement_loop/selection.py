"""Selection: a verdict with a reason for every clip. Nothing disappears; a rejected clip stays and says why.

A clip is accepted if physics made it, it replays, it follows its reference within the error bound and it passes the
plausibility gate. The error bound is PHC's (mean body error under 0.5 m throughout), which a frozen pose carried along
the reference root passes on most clips; so skill, the share of the frozen pose's error that tracking took away, is
asked for as well wherever the reference moves enough to tell the two apart.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from morphloop.motion import Clip
from morphloop.motion.rotations import quat_to_rotvec
from morphloop.sim import Body

Outcome = Literal["accepted", "rescued", "rejected"]
"""What may become of a clip. "rescued" is for stretches cut out of a clip that failed as a whole."""

FELL = "fell"
DRIFTED = "drifted"
SLID = "slid"
AIRBORNE = "off the ground too long"
NO_REPLAY = "did not replay"
OUT_OF_REACH = "out of the body's reach"
NOTHING = "nothing simulated"

RANGE_SLACK = np.radians(10.0)
"""By how much a joint may leave its range before it counts: a servo's spring reaches a little past its target."""
REASONS = (FELL, DRIFTED, SLID, AIRBORNE, NO_REPLAY, OUT_OF_REACH, NOTHING)


@dataclass(frozen=True)
class SelectionConfig:
    """Thresholds of the verdict.

    min_skill: least skill, 0 is a frozen pose and 1 is perfect tracking;
    still_mm: skill is not asked for where the frozen pose itself errs by no more than this, mm: the clip stands still;
    fall_drop_m: a failed clip fell if its head came this much under the reference's, metres;
    max_slide_mm_s: most mean foot slide over contact frames, mm/s;
    max_unsupported_ratio: largest share of frames off the ground without being in free flight;
    max_out_of_range_ratio: a failed clip whose reference leaves the anatomical range in a larger share of its frames
    than this asked for what the body cannot do.
    """

    min_skill: float = 0.3
    still_mm: float = 20.0
    fall_drop_m: float = 0.2
    max_slide_mm_s: float = 150.0
    max_unsupported_ratio: float = 0.1
    max_out_of_range_ratio: float = 0.5


@dataclass(frozen=True)
class Verdict:
    """What became of a clip, why in a fixed word, and the figure that decided."""

    name: str
    verdict: Outcome
    reason: str | None = None
    detail: str = ""


@dataclass(frozen=True)
class Evidence:
    """What a verdict rests on.

    simulated: whether physics produced a clip; why_not: what the projector said if it did not;
    replays: the certificate, None where there is none; head_drop_m: `head_drop` of the clip under its reference;
    out_of_range_ratio: of the reference;
    before, after, tracking: metric names to values (reference, what physics did, one against the other).
    """

    name: str
    simulated: bool
    why_not: str | None
    replays: bool | None
    replay_reason: str | None
    head_drop_m: float | None
    out_of_range_ratio: float | None
    before: Mapping[str, float | None]
    after: Mapping[str, float | None]
    tracking: Mapping[str, float | None]


def head_drop(clip: Clip, reference: Clip) -> float:
    """How much lower than the reference's the head came at worst, metres; frames are paired from the start.

    The head, not the pelvis: tracking is cut at 0.5 m mean body error, where a body that topples like a stick has
    lowered its pelvis by a tenth of a metre only.
    """
    frames, head = min(clip.num_frames, reference.num_frames), clip.skeleton.index("head")
    return float(np.max(reference.positions[:frames, head, 2] - clip.positions[:frames, head, 2]))


def out_of_range_ratio(clip: Clip, body: Body) -> float:
    """Share of frames in which a joint is over `RANGE_SLACK` outside the body's anatomical range."""
    angles = quat_to_rotvec(clip.rotations)
    low, high = body.ranges[..., 0] - RANGE_SLACK, body.ranges[..., 1] + RANGE_SLACK
    return float(((angles < low) | (angles > high)).any(axis=(1, 2)).mean())


def judge(evidence: Evidence, config: SelectionConfig) -> Verdict:
    """The verdict on one clip: the first check that it fails gives the reason."""
    failed = _fault(evidence, config)
    if failed is None:
        return Verdict(evidence.name, "accepted")
    return Verdict(evidence.name, "rejected", *failed)


def _fault(evidence: Evidence, config: SelectionConfig) -> tuple[str, str] | None:
    """Reason and detail of the first failed check, or None."""
    if not evidence.simulated:
        why = evidence.why_not or "the projector gave no clip"
        return (OUT_OF_REACH if OUT_OF_REACH in why else NOTHING), why
    if not evidence.replays:
        return NO_REPLAY, evidence.replay_reason or "no replay certificate"
    if not evidence.tracking.get("success"):
        return _lost(evidence, config)
    skill = evidence.tracking.get("skill")
    if skill is not None and skill < config.min_skill and _frozen_error(evidence.tracking) > config.still_mm:
        return DRIFTED, f"skill {skill:.2f} under {config.min_skill:g}: little better than a frozen pose"
    slide = evidence.after.get("slide_mean_mm_s")
    if slide is not None and slide > config.max_slide_mm_s:
        return SLID, f"mean slide {slide:.0f} mm/s over {config.max_slide_mm_s:g}"
    unsupported = evidence.after.get("unsupported_ratio")
    if unsupported is not None and unsupported > config.max_unsupported_ratio:
        return AIRBORNE, f"unsupported in {unsupported:.0%} of frames, over {config.max_unsupported_ratio:.0%}"
    return None


def _frozen_error(tracking: Mapping[str, float | None]) -> float:
    """E_mpjpe of the frozen pose, mm, from the definition of skill (1 - own error / frozen error)."""
    own, skill = tracking.get("e_mpjpe_mm"), tracking.get("skill")
    return float("inf") if own is None or skill is None else own / max(1.0 - skill, 1e-9)


def _lost(evidence: Evidence, config: SelectionConfig) -> tuple[str, str]:
    """Why tracking left the error bound: a fall, an impossible reference, or a drift."""
    if evidence.head_drop_m is not None and evidence.head_drop_m > config.fall_drop_m:
        return FELL, f"head {evidence.head_drop_m:.2f} m under the reference, over {config.fall_drop_m:g}"
    beyond = evidence.out_of_range_ratio
    if beyond is not None and beyond > config.max_out_of_range_ratio:
        return OUT_OF_REACH, f"joints out of range in {beyond:.0%} of frames, over {config.max_out_of_range_ratio:.0%}"
    floating = evidence.before.get("unsupported_ratio")
    if floating is not None and floating > config.max_unsupported_ratio:
        return AIRBORNE, f"the reference hangs in the air in {floating:.0%} of its frames"
    return DRIFTED, "mean body error reached 0.5 m"


def tally(verdicts: Sequence[Verdict]) -> dict[str, Any]:
    """Counts: {"clips", "accepted", "rescued", "rejected", "reasons": {reason: count}}."""
    counts = Counter(v.verdict for v in verdicts)
    reasons = Counter(v.reason for v in verdicts if v.reason is not None)
    return {
        "clips": len(verdicts),
        "accepted": counts["accepted"],
        "rescued": counts["rescued"],
        "rejected": counts["rejected"],
        "reasons": dict(sorted(reasons.items(), key=lambda item: (-item[1], item[0]))),
    }
