"""Selection: a verdict with a reason for every clip. Nothing disappears; a rejected clip stays and says why.

A clip is accepted if physics made it, it replays, it is long enough to be a motion, it follows its reference and it
passes the plausibility gate. PHC's error bound (mean body error under 0.5 m throughout) is passed by a frozen pose
carried along the reference root on most clips, and by a body that folds at the waist for half a second. So skill, the
share of the frozen pose's error that tracking took away, is asked for as well wherever the reference moves enough to
tell the two apart, and no part of the body may be far from the reference for longer than a moment. Feet are judged by
their slide under load; where forces are unknown, by contact read from height, and the verdict says so.

What comes near the limits of a robot's motors is accepted with a warning, and rejected where the user set a bound.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from morphloop.metrics.joint_limits import hinge_excess
from morphloop.metrics.margins import HARD
from morphloop.motion import Clip
from morphloop.motion.rotations import quat_to_rotvec
from morphloop.sim import Body

from .config import SelectionConfig
from .departure import WINDOW_S, Departure

Outcome = Literal["accepted", "rescued", "rejected"]
"""What may become of a clip. "rescued" is for segments cut out of a clip that failed as a whole."""

FELL = "fell"
DRIFTED = "drifted"
SLID = "slid"
AIRBORNE = "off the ground too long"
NO_REPLAY = "did not replay"
TOO_SHORT = "too short"
LOST_POSE = "lost the pose"
OUT_OF_REACH = "out of the body's reach"
NOTHING = "nothing simulated"
TOO_HARD = "too hard on the motors"

LOADED_SLIDE = "slide_loaded_mm_s"
BY_HEIGHT = "slide judged by height, no load on the feet is known"

RANGE_SLACK = np.radians(10.0)
"""By how much a joint may leave its range before it counts: a servo's spring reaches a little past its target."""
REASONS = (FELL, DRIFTED, LOST_POSE, SLID, AIRBORNE, TOO_SHORT, NO_REPLAY, OUT_OF_REACH, NOTHING, TOO_HARD)


@dataclass(frozen=True)
class Verdict:
    """What became of a clip, why in a fixed word, and the figure that decided. margins: what of it is hard on a robot,
    with figures, nothing for a person's body and where there is a margin."""

    name: str
    verdict: Outcome
    reason: str | None = None
    detail: str = ""
    margins: str = ""


@dataclass(frozen=True)
class Evidence:
    """What a verdict rests on.

    simulated: whether physics produced a clip; why_not: what the projector said if it did not;
    replays: the certificate, None where there is none; head_drop_m: `head_drop` of the clip under its reference;
    out_of_range_ratio: of the reference; seconds, reference_seconds: length of the clip, and of the reference;
    departure: how the clip leaves its reference;
    reference, after, tracking: metric names to values (of what was tracked around where that failed, of what physics
    did, one against the other).
    """

    name: str
    simulated: bool
    why_not: str | None
    replays: bool | None
    replay_reason: str | None
    head_drop_m: float | None
    out_of_range_ratio: float | None
    seconds: float | None
    reference_seconds: float | None
    departure: Departure | None
    reference: Mapping[str, float | None]
    after: Mapping[str, float | None]
    tracking: Mapping[str, float | None]


def head_drop(clip: Clip, reference: Clip, body: Body) -> float:
    """How much lower than the reference's the head came at worst, metres; frames are paired from the start.

    The head, not the pelvis: tracking is cut at 0.5 m mean body error, where a body that topples like a stick has
    lowered its pelvis by a tenth of a metre only.
    """
    frames, (head,) = min(clip.num_frames, reference.num_frames), body.joint_ids([body.description.head])
    return float(np.max(reference.positions[:frames, head, 2] - clip.positions[:frames, head, 2]))


def out_of_range_ratio(clip: Clip, body: Body) -> float:
    """Share of frames in which a joint is over `RANGE_SLACK` outside its anatomical range, a hinge outside its own."""
    angles = quat_to_rotvec(clip.rotations)
    low, high = body.ranges[..., 0] - RANGE_SLACK, body.ranges[..., 1] + RANGE_SLACK
    beyond = ((angles < low) | (angles > high)).any(axis=(1, 2))
    return float((beyond | (hinge_excess(body, clip) > RANGE_SLACK).any(axis=1)).mean())


def judge(evidence: Evidence, config: SelectionConfig, robot: bool = False) -> Verdict:
    """The verdict on one clip: the first check that it fails gives the reason. robot: warn of what is hard on one."""
    failed = _fault(evidence, config)
    margins = "; ".join(_over(evidence.after, HARD)) if robot else ""
    if failed is not None:
        return Verdict(evidence.name, "rejected", *failed, margins=margins)
    name, value = _slide(evidence.after)
    by_height = value is not None and name != LOADED_SLIDE
    return Verdict(evidence.name, "accepted", detail=BY_HEIGHT if by_height else "", margins=margins)


def _over(after: Mapping[str, float | None], bounds: Mapping[str, float | None]) -> list[str]:
    """Every margin over its bound, with both figures."""
    found = ((name, after.get(name), bound) for name, bound in bounds.items())
    return [
        f"{name} {value:.2f} over {bound:g}"
        for name, value, bound in found
        if value is not None and bound is not None and value > bound
    ]


def _fault(evidence: Evidence, config: SelectionConfig) -> tuple[str, str] | None:
    """Reason and detail of the first failed check, or None."""
    if not evidence.simulated:
        why = evidence.why_not or "the projector gave no clip"
        return (OUT_OF_REACH if OUT_OF_REACH in why else NOTHING), why
    if not evidence.replays:
        return NO_REPLAY, evidence.replay_reason or "no replay certificate"
    shortest = min(x for x in (evidence.seconds, evidence.reference_seconds, math.inf) if x is not None)
    if not evidence.tracking.get("success"):
        return _failed(evidence, config)
    if shortest < config.min_seconds:
        return TOO_SHORT, f"{shortest:.2f} s, expected at least {config.min_seconds:g} s"
    return (
        _strayed(evidence, config)
        or _unskilled(evidence.tracking, config)
        or _implausible(evidence.after, config)
        or _too_hard(evidence.after, config)
    )


def _strayed(evidence: Evidence, config: SelectionConfig) -> tuple[str, str] | None:
    """A part of the body that was away from the reference for longer than a moment."""
    away = evidence.departure
    if away is None or away.error_m <= config.max_part_error_m:
        return None
    said = f"{_words(away.part)} {away.error_m:.2f} m from the reference at {away.at_s:.1f} s"
    said += f", over {config.max_part_error_m:g} m for {WINDOW_S:g} s"
    fallen = _fallen(away, away.drop_m, config)
    return (FELL, f"at its end: {fallen}; {said}") if fallen else (LOST_POSE, said)


def _unskilled(tracking: Mapping[str, float | None], config: SelectionConfig) -> tuple[str, str] | None:
    """Tracking that is little better than a frozen pose, or far off a reference that stands still."""
    skill, own = tracking.get("skill"), tracking.get("e_mpjpe_mm")
    if skill is None or skill >= config.min_skill:
        return None
    if _frozen_error(tracking) > config.still_mm:
        return DRIFTED, f"skill {skill:.2f} under {config.min_skill:g}: little better than a frozen pose"
    if own is not None and own > config.still_error_mm:
        return DRIFTED, f"skill {skill:.2f}: off a still reference by {own:.0f} mm, over {config.still_error_mm:g}"
    return None


def _implausible(after: Mapping[str, float | None], config: SelectionConfig) -> tuple[str, str] | None:
    """Feet that slide, or a body that hangs in the air."""
    name, slide = _slide(after)
    if slide is not None and slide > config.max_slide_mm_s:
        how = "loaded feet slide" if name == LOADED_SLIDE else f"{BY_HEIGHT}: feet near the ground slide"
        return SLID, f"{how} {slide:.0f} mm/s on average, over {config.max_slide_mm_s:g}"
    unsupported = after.get("unsupported_ratio")
    if unsupported is not None and unsupported > config.max_unsupported_ratio:
        return AIRBORNE, f"unsupported in {unsupported:.0%} of frames, over {config.max_unsupported_ratio:.0%}"
    return None


def _too_hard(after: Mapping[str, float | None], config: SelectionConfig) -> tuple[str, str] | None:
    """What is over a bound that the user set on the margins of the hardware."""
    over = _over(after, {name: getattr(config, f"max_{name}") for name in HARD})
    return (TOO_HARD, "; ".join(over)) if over else None


def _slide(after: Mapping[str, float | None]) -> tuple[str, float | None]:
    """Name and value of the slide that decides: under load where that is known, else by height."""
    name = LOADED_SLIDE if after.get(LOADED_SLIDE) is not None else "slide_mean_mm_s"
    return name, after.get(name)


def _frozen_error(tracking: Mapping[str, float | None]) -> float:
    """E_mpjpe of the frozen pose, mm, from the definition of skill (1 - own error / frozen error)."""
    own, skill = tracking.get("e_mpjpe_mm"), tracking.get("skill")
    return float("inf") if own is None or skill is None else own / max(1.0 - skill, 1e-9)


def _fallen(away: Departure | None, drop_m: float | None, config: SelectionConfig) -> str | None:
    """How a body lies or topples at its end beside its reference, None if it stands as that does."""
    if drop_m is not None and drop_m > config.fall_drop_m:
        return f"head {drop_m:.2f} m under the reference, over {config.fall_drop_m:g}"
    if away is not None and away.lean_deg > config.fall_lean_deg:
        return f"leans {away.lean_deg:.0f} degrees away from the reference, over {config.fall_lean_deg:g}"
    return None


def _failed(evidence: Evidence, config: SelectionConfig) -> tuple[str, str]:
    """Why tracking left the error bound: a fall, an impossible reference, or a drift; when, and what was asked for that
    nobody can do."""
    when, asked = _when(evidence), _asked(evidence.reference, config)
    fallen = _fallen(evidence.departure, evidence.head_drop_m, config)
    if fallen:
        return FELL, f"{when}: {fallen}{asked}"
    beyond = evidence.out_of_range_ratio
    if beyond is not None and beyond > config.max_out_of_range_ratio:
        limit = f"over {config.max_out_of_range_ratio:.0%}"
        return OUT_OF_REACH, f"{when}; the reference's joints out of range in {beyond:.0%} of frames, {limit}"
    floating = evidence.reference.get("unsupported_ratio")
    if floating is not None and floating > config.max_unsupported_ratio:
        return AIRBORNE, when + asked
    away = evidence.departure
    most = "" if away is None else f", most of it {_words(away.part)} with {away.error_m:.2f} m at {away.at_s:.1f} s"
    return DRIFTED, f"{when}: mean body error reached 0.5 m{most}{asked}"


def _when(evidence: Evidence) -> str:
    """When tracking failed, as far as is known."""
    if evidence.seconds is None or evidence.reference_seconds is None:
        return "failed"
    return f"failed at {evidence.seconds:.1f} s of {evidence.reference_seconds:.1f}"


def _asked(reference: Mapping[str, float | None], config: SelectionConfig) -> str:
    """What a reference needs that the ground cannot give, such as a chair; nothing where it needs little."""
    floating, residual = (reference.get(name) or 0.0 for name in ("unsupported_ratio", "residual_wrench_ratio"))
    if floating > config.max_unsupported_ratio:
        return f"; the reference, put on the ground, hangs in the air there in {floating:.0%} of its frames"
    if residual > config.max_residual:
        return f"; the reference leans on what is not there, {residual:.2f} of its weight"
    return ""


def _words(part: str) -> str:
    """A joint's name as it is read."""
    return part.replace("_", " ")


def tally(verdicts: Sequence[Verdict]) -> dict[str, Any]:
    """Counts: {"clips", "accepted", "rescued", "rejected", "reasons": {reason: count}}; what was rescued is a part of a
    clip that was rejected, and no clip of its own."""
    counts = Counter(v.verdict for v in verdicts)
    reasons = Counter(v.reason for v in verdicts if v.reason is not None)
    return {
        "clips": counts["accepted"] + counts["rejected"],
        "accepted": counts["accepted"],
        "rescued": counts["rescued"],
        "rejected": counts["rejected"],
        "reasons": dict(sorted(reasons.items(), key=lambda item: (-item[1], item[0]))),
    }
