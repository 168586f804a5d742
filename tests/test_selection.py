"""Every reason of a verdict, by construction."""

from dataclasses import asdict, replace

import numpy as np
import pytest

from morphloop.envs import prepare
from morphloop.metrics import measure, track_errors
from morphloop.metrics.margins import HARD
from morphloop.motion import DEFAULT_SKELETON, Clip
from morphloop.refinement_loop import REASONS, Evidence, SelectionConfig, evidence, judge, tally
from morphloop.refinement_loop.departure import Departure, departure
from morphloop.refinement_loop.selection import head_drop, out_of_range_ratio
from morphloop.refinement_loop.verification import judged_otherwise
from morphloop.sim import default_body

NEAR = Departure(part="left_wrist", error_m=0.1, at_s=1.0, lean_deg=3.0, drop_m=0.02)
GOOD = Evidence(
    name="good",
    simulated=True,
    why_not=None,
    replays=True,
    replay_reason=None,
    head_drop_m=0.02,
    out_of_range_ratio=0.0,
    seconds=3.0,
    reference_seconds=3.0,
    departure=NEAR,
    reference={},
    after={"slide_mean_mm_s": 40.0, "slide_loaded_mm_s": 12.0, "unsupported_ratio": 0.0},
    tracking={"success": 1.0, "skill": 0.8, "e_mpjpe_mm": 40.0},
)
FAILED = replace(GOOD, tracking={"success": 0.0, "skill": -2.0}, seconds=1.2)

BOUNDED = SelectionConfig(max_impact_peak_bw=10.0)
CASES = [
    ("nothing simulated", replace(GOOD, simulated=False, why_not="not finite after 3 steps")),
    ("out of the body's reach", replace(GOOD, simulated=False, why_not="out of the body's reach: knee bends back")),
    ("did not replay", replace(GOOD, replays=False, replay_reason="largest error 0.3")),
    ("did not replay", replace(GOOD, replays=None)),
    ("fell", replace(FAILED, head_drop_m=0.6)),
    ("fell", replace(FAILED, departure=replace(NEAR, lean_deg=34.0))),
    ("out of the body's reach", replace(FAILED, out_of_range_ratio=0.9)),
    ("off the ground too long", replace(FAILED, reference={"unsupported_ratio": 0.8})),
    ("drifted", FAILED),
    ("too short", replace(GOOD, seconds=5 / 30, reference_seconds=5 / 30)),
    ("lost the pose", replace(GOOD, departure=replace(NEAR, part="head", error_m=0.59))),
    ("fell", replace(GOOD, departure=replace(NEAR, part="head", error_m=0.59, drop_m=0.5))),
    ("drifted", replace(GOOD, tracking={"success": 1.0, "skill": 0.0})),
    ("slid", replace(GOOD, after={"slide_loaded_mm_s": 400.0, "unsupported_ratio": 0.0})),
    ("slid", replace(GOOD, after={"slide_loaded_mm_s": None, "slide_mean_mm_s": 400.0})),
    ("off the ground too long", replace(GOOD, after={"slide_loaded_mm_s": 40.0, "unsupported_ratio": 0.5})),
    ("too hard on the motors", replace(GOOD, after={"impact_peak_bw": 20.0})),
]


def test_a_good_clip_is_accepted_without_a_reason():
    verdict = judge(GOOD, SelectionConfig())
    assert (verdict.verdict, verdict.reason, verdict.name) == ("accepted", None, "good")


@pytest.mark.parametrize(("reason", "found"), CASES)
def test_each_fault_has_its_reason_and_says_the_figure(reason, found):
    verdict = judge(found, BOUNDED)
    assert (verdict.verdict, verdict.reason) == ("rejected", reason)
    assert verdict.detail


def test_every_reason_is_reached():
    assert {reason for reason, _ in CASES} == set(REASONS)


def test_null_metrics_decide_nothing():
    evidence = replace(GOOD, after={"slide_mean_mm_s": None}, tracking={"success": 1.0, "skill": None})
    assert judge(evidence, SelectionConfig()).verdict == "accepted"


def test_a_still_clip_is_asked_to_be_still_and_not_for_skill():
    still = {"success": 1.0, "skill": -0.6, "e_mpjpe_mm": 10.0}  # the frozen pose errs by 6 mm
    assert judge(replace(GOOD, tracking=still), SelectionConfig()).verdict == "accepted"
    moving = {"success": 1.0, "skill": -0.6, "e_mpjpe_mm": 100.0}
    assert judge(replace(GOOD, tracking=moving), SelectionConfig()).reason == "drifted"
    wild = judge(replace(GOOD, tracking={"success": 1.0, "skill": -6.0, "e_mpjpe_mm": 120.0}), SelectionConfig())
    assert wild.reason == "drifted", "six times as far off as a pose that is held, though the reference stands still"
    assert "120 mm" in wild.detail


def test_a_row_with_a_verdict_is_judged_again_to_the_same():
    """The verdict's reason stands where the projector's stood."""
    row = {"name": "x", "id": None, "reason": "not finite after 3 steps", "certificate": None, "tracking": {}}
    row |= {"head_drop_m": None, "out_of_range_ratio": None, "clip_seconds": None, "reference_seconds": None}
    row |= {"departure": None, "reference": {}, "after": {}}
    first = judge(evidence(row), SelectionConfig())
    assert first.detail == "not finite after 3 steps"
    assert judge(evidence(row | asdict(first)), SelectionConfig()) == first


def test_thresholds_come_from_the_config():
    evidence = replace(GOOD, after={"slide_loaded_mm_s": 41.0})
    assert judge(evidence, SelectionConfig(max_slide_mm_s=40.0)).reason == "slid"
    assert judge(evidence, SelectionConfig(max_slide_mm_s=42.0)).verdict == "accepted"


HARD_AFTER = {
    "torque_peak_ratio": 1.0,
    "torque_limit_ratio": 0.3,
    "ankle_torque_peak_ratio": 0.95,
    "speed_peak_ratio": 0.97,
    "impact_peak_bw": 5.0,
}


def test_margins_warn_of_a_robot_and_reject_nothing():
    found = replace(GOOD, after=HARD_AFTER)
    verdict = judge(found, SelectionConfig(), robot=True)
    assert (verdict.verdict, verdict.reason, verdict.detail) == ("accepted", None, "")
    assert verdict.margins.split("; ") == [
        "torque_peak_ratio 1.00 over 0.9",
        "torque_limit_ratio 0.30 over 0.05",
        "ankle_torque_peak_ratio 0.95 over 0.9",
        "speed_peak_ratio 0.97 over 0.9",
        "impact_peak_bw 5.00 over 3",
    ]
    assert judge(found, SelectionConfig()).margins == "", "a person has no motors"
    assert judge(replace(GOOD, after=dict.fromkeys(HARD, 0.04)), SelectionConfig(), robot=True).margins == ""
    assert judge(replace(GOOD, after=dict.fromkeys(HARD)), SelectionConfig(), robot=True).margins == ""


@pytest.mark.parametrize("name", HARD)
def test_a_bound_that_the_user_sets_rejects(name):
    found, just = replace(GOOD, after=HARD_AFTER), HARD_AFTER[name]
    verdict = judge(found, SelectionConfig(**{f"max_{name}": just - 0.01}))
    assert (verdict.verdict, verdict.reason) == ("rejected", "too hard on the motors")
    assert verdict.detail.startswith(f"{name} ")
    assert judge(found, SelectionConfig(**{f"max_{name}": just})).verdict == "accepted"


def test_a_row_of_before_margins_were_told_is_judged_as_it_was():
    found = asdict(judge(replace(GOOD, after=HARD_AFTER), SelectionConfig(), robot=True))
    row = {name: value for name, value in found.items() if name != "margins"}
    assert not judged_otherwise(row, found)
    assert judged_otherwise(row | {"margins": ""}, found)


def test_slide_that_touches_nothing_rejects_no_dance():
    """Feet that swing low read fast by height; what bears load hardly moves."""
    dance = replace(GOOD, after={"slide_mean_mm_s": 220.0, "slide_loaded_mm_s": 35.0})
    verdict = judge(dance, SelectionConfig())
    assert (verdict.verdict, verdict.detail) == ("accepted", "")


def test_where_load_is_unknown_the_verdict_says_which_rule_decided():
    after = {"slide_mean_mm_s": 100.0, "slide_loaded_mm_s": None}
    assert "by height" in judge(replace(GOOD, after=after), SelectionConfig()).detail
    slid = judge(replace(GOOD, after=after | {"slide_mean_mm_s": 400.0}), SelectionConfig())
    assert slid.reason == "slid"
    assert "by height" in slid.detail
    loaded = judge(replace(GOOD, after=after | {"slide_loaded_mm_s": 400.0}), SelectionConfig())
    assert "loaded feet slide 400 mm/s" in loaded.detail


def test_the_detail_names_part_and_second():
    away = judge(replace(GOOD, departure=replace(NEAR, part="left_wrist", error_m=0.59, at_s=1.23)), SelectionConfig())
    assert "left wrist 0.59 m from the reference at 1.2 s" in away.detail
    fell = judge(replace(FAILED, head_drop_m=0.6), SelectionConfig())
    assert fell.detail.startswith("failed at 1.2 s of 3.0: head 0.60 m under the reference")
    drifted = judge(replace(FAILED, departure=replace(NEAR, part="pelvis", error_m=0.7)), SelectionConfig())
    assert "most of it pelvis with 0.70 m at 1.0 s" in drifted.detail


def test_sitting_on_no_chair_needs_more_than_the_ground_gives():
    sitting = standing(60).rotations.copy()
    for side in ("left", "right"):
        for joint, angle in (("hip", -np.pi / 2), ("knee", np.pi / 2)):
            sitting[:, DEFAULT_SKELETON.index(f"{side}_{joint}")] = [np.cos(angle / 2), 0.0, np.sin(angle / 2), 0.0]
    chair = prepare(replace(standing(60), rotations=sitting), default_body())
    residual = {clip: measure(clip).values["residual_wrench_ratio"] for clip in (chair, standing(60))}
    print(residual.values())
    assert residual[chair] > SelectionConfig().max_residual


def test_a_reference_that_leans_on_a_chair_is_told():
    asked = replace(FAILED, head_drop_m=0.6, reference={"unsupported_ratio": 0.0, "residual_wrench_ratio": 0.7})
    verdict = judge(asked, SelectionConfig())
    assert verdict.reason == "fell"
    assert "leans on what is not there" in verdict.detail


def test_tally_counts_every_clip_once():
    verdicts = [judge(evidence, BOUNDED) for evidence in (GOOD, *(e for _, e in CASES))]
    counts = tally(verdicts)
    assert counts["clips"] == len(CASES) + 1 == counts["accepted"] + counts["rejected"]
    assert sum(counts["reasons"].values()) == counts["rejected"] == len(CASES)


def standing(frames: int = 10, height: float = 0.945) -> Clip:
    rotations = np.tile([1.0, 0.0, 0.0, 0.0], (frames, DEFAULT_SKELETON.num_joints, 1))
    return Clip(30.0, DEFAULT_SKELETON, np.tile([0.0, 0.0, height], (frames, 1)), rotations)


def test_a_fold_at_the_waist_that_the_mean_hides_is_found_with_its_part_and_second():
    reference, rotations = standing(90), standing(90).rotations.copy()
    spine = DEFAULT_SKELETON.index("spine1")
    rotations[30:45, spine] = [np.cos(0.6), 0.0, np.sin(0.6), 0.0]
    clip = replace(reference, rotations=rotations)
    assert track_errors(clip, reference)["success"] == 1.0
    away = departure(clip, reference, default_body())
    assert away.part == "head" or away.part.endswith(("wrist", "hand"))
    assert away.error_m > 0.45
    assert 1.0 <= away.at_s <= 1.5
    assert away.drop_m == pytest.approx(0.0)
    assert away.lean_deg == pytest.approx(0.0, abs=1e-3)


def test_a_flick_of_one_frame_is_no_departure():
    reference, rotations = standing(90), standing(90).rotations.copy()
    rotations[40, DEFAULT_SKELETON.index("spine1")] = [np.cos(0.6), 0.0, np.sin(0.6), 0.0]
    assert departure(replace(reference, rotations=rotations), reference, default_body()).error_m < 0.2


def test_a_body_that_topples_like_a_stick_leans():
    """Its head is a tenth of a metre lower when the mean error reaches half a metre."""
    reference, turn = standing(30), np.radians(30.0)
    rotations = reference.rotations.copy()
    rotations[-1, 0] = [np.cos(turn / 2), 0.0, np.sin(turn / 2), 0.0]
    toppled = departure(replace(reference, rotations=rotations), reference, default_body())
    assert toppled.lean_deg == pytest.approx(30.0, abs=0.5)


@pytest.mark.parametrize("frames", [1, 2])
def test_a_clip_of_hardly_a_frame_has_a_departure_and_is_too_short(frames):
    clip = standing(frames, height=3.9)
    away = departure(clip, standing(frames), default_body())
    assert away.error_m == pytest.approx(3.9 - 0.945)
    judged = judge(replace(GOOD, seconds=clip.duration, departure=away), SelectionConfig())
    assert judged.reason == "too short"


def test_head_drop_is_the_worst_frame_over_the_common_length():
    reference, root = standing(), standing().root_pos.copy()
    root[7, 2] -= 0.4
    assert head_drop(replace(reference, root_pos=root), reference, default_body()) == pytest.approx(0.4)
    assert head_drop(replace(reference, root_pos=root).slice(0, 5), reference, default_body()) == pytest.approx(0.0)


def test_a_knee_bent_backwards_is_out_of_range_in_its_frames():
    rotations = standing().rotations.copy()
    knee = DEFAULT_SKELETON.index("left_knee")
    rotations[:4, knee] = [np.cos(-0.6), 0.0, np.sin(-0.6), 0.0]
    clip = replace(standing(), rotations=rotations)
    assert out_of_range_ratio(clip, default_body()) == pytest.approx(0.4)
    assert out_of_range_ratio(standing(), default_body()) == 0.0


def test_a_verdict_in_the_words_of_before_is_the_same_verdict():
    found = asdict(judge(replace(FAILED, head_drop_m=0.6), SelectionConfig()))
    was = found | {"detail": found["detail"].replace("failed at", "lost at")}
    assert was != found
    assert not judged_otherwise(was, found)
    assert judged_otherwise(was | {"detail": "lost at 9 s"}, found)
