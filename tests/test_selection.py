"""Every reason of a verdict, by construction."""

from dataclasses import replace

import numpy as np
import pytest

from morphloop.motion import DEFAULT_SKELETON, Clip
from morphloop.refinement_loop import REASONS, Evidence, SelectionConfig, judge, tally
from morphloop.refinement_loop.selection import head_drop, out_of_range_ratio
from morphloop.sim import default_body

GOOD = Evidence(
    name="good",
    simulated=True,
    why_not=None,
    replays=True,
    replay_reason=None,
    head_drop_m=0.02,
    out_of_range_ratio=0.0,
    before={"unsupported_ratio": 0.0},
    after={"slide_mean_mm_s": 40.0, "unsupported_ratio": 0.0},
    tracking={"success": 1.0, "skill": 0.8},
)
LOST = {"success": 0.0, "skill": -2.0}

CASES = [
    ("nothing simulated", replace(GOOD, simulated=False, why_not="not finite after 3 steps")),
    ("out of the body's reach", replace(GOOD, simulated=False, why_not="out of the body's reach: knee bends back")),
    ("did not replay", replace(GOOD, replays=False, replay_reason="largest error 0.3")),
    ("did not replay", replace(GOOD, replays=None)),
    ("fell", replace(GOOD, tracking=LOST, head_drop_m=0.6)),
    ("out of the body's reach", replace(GOOD, tracking=LOST, out_of_range_ratio=0.9)),
    ("off the ground too long", replace(GOOD, tracking=LOST, before={"unsupported_ratio": 0.8})),
    ("drifted", replace(GOOD, tracking=LOST)),
    ("drifted", replace(GOOD, tracking={"success": 1.0, "skill": 0.0})),
    ("slid", replace(GOOD, after={"slide_mean_mm_s": 400.0, "unsupported_ratio": 0.0})),
    ("off the ground too long", replace(GOOD, after={"slide_mean_mm_s": 40.0, "unsupported_ratio": 0.5})),
]


def test_a_good_clip_is_accepted_without_a_reason():
    verdict = judge(GOOD, SelectionConfig())
    assert (verdict.verdict, verdict.reason, verdict.name) == ("accepted", None, "good")


@pytest.mark.parametrize(("reason", "evidence"), CASES)
def test_each_fault_has_its_reason_and_says_the_figure(reason, evidence):
    verdict = judge(evidence, SelectionConfig())
    assert (verdict.verdict, verdict.reason) == ("rejected", reason)
    assert verdict.detail


def test_every_reason_is_reached():
    assert {reason for reason, _ in CASES} == set(REASONS)


def test_null_metrics_decide_nothing():
    evidence = replace(GOOD, after={"slide_mean_mm_s": None}, tracking={"success": 1.0, "skill": None})
    assert judge(evidence, SelectionConfig()).verdict == "accepted"


def test_skill_is_not_asked_of_a_clip_that_stands_still():
    still = {"success": 1.0, "skill": -0.6, "e_mpjpe_mm": 10.0}  # the frozen pose errs by 6 mm
    assert judge(replace(GOOD, tracking=still), SelectionConfig()).verdict == "accepted"
    moving = {"success": 1.0, "skill": -0.6, "e_mpjpe_mm": 100.0}
    assert judge(replace(GOOD, tracking=moving), SelectionConfig()).reason == "drifted"


def test_thresholds_come_from_the_config():
    evidence = replace(GOOD, after={"slide_mean_mm_s": 41.0})
    assert judge(evidence, SelectionConfig(max_slide_mm_s=40.0)).reason == "slid"
    assert judge(evidence, SelectionConfig(max_slide_mm_s=42.0)).verdict == "accepted"


def test_tally_counts_every_clip_once():
    verdicts = [judge(evidence, SelectionConfig()) for evidence in (GOOD, *(e for _, e in CASES))]
    counts = tally(verdicts)
    assert counts["clips"] == len(CASES) + 1 == counts["accepted"] + counts["rejected"]
    assert sum(counts["reasons"].values()) == counts["rejected"] == len(CASES)


def standing(frames: int = 10, height: float = 0.945) -> Clip:
    rotations = np.tile([1.0, 0.0, 0.0, 0.0], (frames, DEFAULT_SKELETON.num_joints, 1))
    return Clip(30.0, DEFAULT_SKELETON, np.tile([0.0, 0.0, height], (frames, 1)), rotations)


def test_head_drop_is_the_worst_frame_over_the_common_length():
    reference, root = standing(), standing().root_pos.copy()
    root[7, 2] -= 0.4
    assert head_drop(replace(reference, root_pos=root), reference) == pytest.approx(0.4)
    assert head_drop(replace(reference, root_pos=root).slice(0, 5), reference) == pytest.approx(0.0)


def test_a_knee_bent_backwards_is_out_of_range_in_its_frames():
    rotations = standing().rotations.copy()
    knee = DEFAULT_SKELETON.index("left_knee")
    rotations[:4, knee] = [np.cos(-0.6), 0.0, np.sin(-0.6), 0.0]
    clip = replace(standing(), rotations=rotations)
    assert out_of_range_ratio(clip, default_body()) == pytest.approx(0.4)
    assert out_of_range_ratio(standing(), default_body()) == 0.0
