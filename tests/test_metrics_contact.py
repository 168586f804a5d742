"""Contact: what may count as it, what clean captures score, the timeline, and clips with nothing to measure."""

from __future__ import annotations

import importlib.util
import os
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from morphloop.base.runs import shrink
from morphloop.metrics import CLEAN_WALK, contact_frames, measure, timeline
from morphloop.metrics.contact import LANDING, LEAVING, SLIDE_FAST, touches
from morphloop.metrics.controls import SOLES, clean_walk, control_of
from morphloop.metrics.defect_bench.clean_motion import WIDTH, clean_motion, thinned
from morphloop.metrics.defect_bench.clean_motion import _clip as clean_clip
from morphloop.metrics.defect_bench.defects import skate_bobbing, skate_over, skate_touching
from morphloop.metrics.plausibility import AIRBORNE_M, DEEP_M
from morphloop.motion import (
    DEFAULT_SKELETON,
    HUMANML3D_JOINTS,
    Clip,
    JointTrack,
    Skeleton,
    make_corpus,
    read_motion,
    to_default,
)
from morphloop.motion.corpus.gait import LEFT, ease, load_share, sample_feet, walk_steps
from morphloop.sim.bodies.smpl_table import SOLE_HEIGHT

SHARED = Path(os.environ.get("MORPHLOOP_SHARED", Path(__file__).resolve().parents[2] / "shared"))
RATES = (20.0, 30.0, 60.0, 120.0)
Path3 = Callable[[np.ndarray], np.ndarray]


def standing(path: Path3, fps: float = 30.0, seconds: float = 3.0) -> Clip:
    """Rest pose, soles on the ground, moved along path(t) -> (T, 3)."""
    times = np.arange(round(seconds * fps) + 1) / fps
    rotations = np.zeros((len(times), 24, 4))
    rotations[..., 0] = 1.0
    return Clip(fps, DEFAULT_SKELETON, path(times) - [0.0, 0.0, SOLE_HEIGHT], rotations)


def path(x: Callable[[np.ndarray], np.ndarray], z: Callable[[np.ndarray], np.ndarray]) -> Path3:
    return lambda t: np.stack([x(t), 0 * t, z(t)], axis=1)


def zero(t: np.ndarray) -> np.ndarray:
    return 0 * t


def number(value: float | None) -> float:
    assert value is not None
    return value


def joint_track(clip: Clip) -> JointTrack:
    return JointTrack(clip.fps, HUMANML3D_JOINTS, clip.positions[:, :22])


def shared(*parts: str) -> Path:
    found = SHARED.joinpath("data", *parts)
    if not found.exists():
        pytest.skip(f"no {found}: set MORPHLOOP_SHARED")
    return found


def test_a_part_that_skims_is_no_contact_and_one_that_settles_is() -> None:
    """Down to 5 mm at 80 mm/s and up again at 200 mm/s; then down to the ground to stay."""
    times = np.arange(90) / 30
    skims = 0.005 + np.where(times < 1.5, 0.08 * (1.5 - times), 0.2 * (times - 1.5))
    assert not touches(skims).any()
    settles = np.maximum(0.0, 0.1 - 0.1 * times)
    found = touches(settles)
    assert not found[:30].any()
    assert found[31:].all()


def test_contact_holds_between_entering_and_leaving_height() -> None:
    height = np.repeat([0.030, 0.005, 0.020, 0.030, 0.020], 30)
    slow = np.interp(np.arange(150) / 150, np.arange(5) / 5, height[::30])
    found = touches(slow)
    assert not found[:25].any(), "15 to 30 mm on the way down"
    assert found[slow < 0.009].all()
    assert found[60], "20 mm on the way up"
    assert not found[90:].any(), "20 mm after 30 mm"


def test_landing_and_leaving_are_not_read_but_the_clip_ends_are() -> None:
    mask = np.array([1] * 8 + [0] * 4 + [1] * 10 + [0] * 3 + [1] * 7, bool)
    kept = np.flatnonzero(shrink(mask, LANDING, LEAVING))
    assert kept.tolist() == [*range(0, 8 - LEAVING), *range(12 + LANDING, 22 - LEAVING), *range(25 + LANDING, 32)]


@pytest.mark.parametrize("fps", RATES)
@pytest.mark.parametrize("variant", ["surface", "joints"])
@pytest.mark.parametrize("speed", [0.02, 0.2, 1.0])
def test_slide_of_known_speed_over_part_of_the_clip(fps: float, variant: str, speed: float) -> None:
    """Both feet slide from 2 to 4 s of 6 s: the mean over contact is a third of the speed, at every rate."""
    slid = path(lambda t: speed * np.clip(t - 2.0, 0.0, 2.0), zero)
    clip = standing(slid, fps, 6.0)
    value = measure(clip if variant == "surface" else joint_track(clip), wrench=False).values["slide_mean_mm_s"]
    assert value == pytest.approx(1e3 * speed / 3, rel=0.03)


@pytest.mark.parametrize("fps", RATES)
@pytest.mark.parametrize("mm", [3.0, 10.0, 40.0])
def test_float_and_penetration_of_known_size_for_part_of_the_clip(fps: float, mm: float) -> None:
    """Up, or down, by that much from 2 to 4 s of 6 s, eased over 0.2 s: the mean is a third, the largest is all."""

    def bump(t: np.ndarray) -> np.ndarray:
        return 1e-3 * mm * (ease(t, 1.9, 2.1) - ease(t, 3.9, 4.1))

    high = measure(standing(path(zero, bump), fps, 6.0), wrench=False).values
    deep = measure(standing(path(zero, lambda t: -bump(t)), fps, 6.0), wrench=False).values
    assert high["float_mean_mm"] == pytest.approx(mm / 3, rel=0.01)
    assert deep["penetration_mean_mm"] == pytest.approx(mm / 3, rel=0.01)
    assert deep["penetration_max_mm"] == pytest.approx(mm, abs=1e-6)


def test_the_timeline_marks_what_the_metrics_count() -> None:
    """Stands to 1 s, slides to 2 s, hovers at 50 mm to 4 s, is 10 mm in the ground to 6 s."""

    def height(t: np.ndarray) -> np.ndarray:
        return 0.05 * (ease(t, 2.0, 2.4) - ease(t, 4.0, 4.4)) - 0.010 * ease(t, 4.6, 5.0)

    clip = standing(path(lambda t: 0.3 * np.clip(t - 1.0, 0.0, 1.0), height), 120.0, 6.0)
    seen, values = timeline(clip), measure(clip, wrench=False).values
    at = seen.times
    assert (seen.fps, seen.variant, seen.ground, len(at)) == (30.0, "surface", "as-is", 181)
    assert np.allclose(seen.lowest, height(at), atol=1e-9)
    inside = 0.1
    assert seen.sliding[(at > 1.0 + inside) & (at < 2.0 - inside)].all()
    assert not seen.sliding[(at < 1.0 - inside) | ((at > 2.2) & (at < 4.3))].any()
    assert (seen.floating != (height(at) > AIRBORNE_M)).sum() <= 2, "a sample at each crossing"
    assert seen.unsupported[(at > 2.4) & (at < 4.0)].all()
    assert not seen.unsupported[~seen.floating].any()
    assert seen.penetrating.mean() == pytest.approx(values["penetration_ratio"], abs=0.02)
    assert (seen.penetrating != (height(at) < -DEEP_M)).sum() <= 1, "a sample at the crossing"
    read = np.isfinite(seen.slide_speed)
    assert values["slide_mean_mm_s"] == pytest.approx(1e3 * seen.slide_speed[read].mean())
    assert values["slide_ratio"] == pytest.approx((seen.slide_speed[read] > SLIDE_FAST).mean())
    assert seen.contact[at < 2.0, :2].all()
    assert not seen.contact[(at > 2.5) & (at < 4.0)].any()


@pytest.mark.parametrize("fps", [20.0, 120.0])
def test_a_dip_of_one_frame_is_not_lost_on_the_timeline(fps: float) -> None:
    clip = standing(path(zero, lambda t: np.where(np.abs(t - 1.0) < 0.4 / fps, -0.05, 0.0)), fps)
    assert timeline(clip).penetrating.any()


RATED = ("slide_mean_mm_s", "slide_ratio", "jerk_mean_m_s3", "jitter_rms_mm", "physdiff_skate_mm", "gmd_skating_ratio")


@pytest.mark.parametrize("variant", ["surface", "joints"])
@pytest.mark.parametrize("frames", [1, 2])
@pytest.mark.parametrize("fps", RATES)
def test_one_and_two_frames(frames: int, fps: float, variant: str) -> None:
    clip = standing(path(zero, zero), fps).slice(0, frames)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        values = measure(clip if variant == "surface" else joint_track(clip)).values
        seen = timeline(clip if variant == "surface" else joint_track(clip))
    assert all(values[name] is None for name in (*RATED, "edge_pfc")[: None if frames == 1 else 4])
    assert values["float_mean_mm"] is not None
    assert len(seen.times) == len(seen.lowest) == len(seen.contact) == len(seen.sliding) >= 1


def test_without_feet_nothing_is_said_of_feet() -> None:
    track = JointTrack(30.0, ("hand", "head"), np.random.default_rng(0).normal(2.0, 0.01, (60, 2, 3)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        values = measure(track).values
    absent = ("slide_mean_mm_s", "slide_ratio", "gmd_skating_ratio", "edge_pfc", "unsupported_ratio")
    assert [values[name] for name in absent] == [None] * len(absent)
    assert values["float_mean_mm"] is not None
    assert not timeline(track).contact.any()


@pytest.mark.parametrize("variant", ["surface", "joints"])
def test_all_in_the_air(variant: str) -> None:
    clip = standing(path(zero, lambda t: 1.0 + 0.1 * np.sin(t)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        values = measure(clip if variant == "surface" else joint_track(clip)).values
    assert values["slide_mean_mm_s"] is values["slide_ratio"] is None
    assert values["unsupported_ratio"] == 1.0
    assert values["penetration_mean_mm"] == 0.0


@pytest.mark.parametrize("far", [1e3, 1e6])
def test_far_from_the_origin_reads_the_same(far: float) -> None:
    clip = standing(path(lambda t: 0.1 * t, lambda t: 0.003 * np.sin(3 * t)), 60.0)
    moved = clip.moved(np.array([far, -far, 0.0]))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        here, there = measure(clip).values, measure(moved).values
    for name, value in here.items():
        if value is None:
            assert there[name] is None, name
        else:
            assert there[name] == pytest.approx(value, rel=1e-3, abs=max(1e-6, 1e-7 * far)), name


CREEP = 0.047


def low_swing_gait(lift: float = 0.020) -> tuple[Clip, np.ndarray]:
    """A walk whose toe joints are `lift` metres over their standing height through the swing, the foot pointed so that
    its tips hang lower, while planted feet creep at 47 mm/s; and which frames are contact, (T, 2)."""
    times = np.arange(round(6.0 * 120) + 1) / 120
    start, steps = walk_steps(0.6, 0.0, WIDTH, 0.4, 5.5, LEFT)
    feet = sample_feet(times, start, [replace(step, height=0.0, off=0.5, strike=0.25) for step in steps])
    ground, label = feet.ground.copy(), np.ones((len(times), 2), bool)
    for step in steps:
        quarter = 0.25 * (step.land - step.lift)
        rise = ease(times, step.lift, step.lift + quarter) - ease(times, step.land - quarter, step.land)
        ground[:, step.foot, 2] += lift * rise
        label[(times > step.lift) & (times < step.land), step.foot] = False
    ground[..., 0] += CREEP * times[:, None]
    pelvis = ground.mean(axis=1) * [1.0, 1.0, 0.0]
    pelvis[:, 1] += 0.5 * WIDTH * (load_share(times, steps) - 0.5)
    clip = replace(clean_clip("gait", times, replace(feet, ground=ground), pelvis), fps=120.0)
    return thinned(clip, 30.0), label[::4]


def of_another_size(clip: Clip, scale: float = 1.04) -> Clip:
    """The clip as a generator with SMPL-X's 22 joints has it, to be retargeted."""
    names = DEFAULT_SKELETON.names[:22]
    skeleton = Skeleton(names, DEFAULT_SKELETON.parents[:22], scale * DEFAULT_SKELETON.offsets[:22])
    return Clip(clip.fps, skeleton, scale * clip.root_pos, clip.rotations[:, :22])


@pytest.mark.parametrize("seen", ["surface", "retargeted", "joints", "joints, the lowest at 0"])
def test_a_swing_with_toes_20_mm_over_their_standing_height_is_no_slide(seen: str) -> None:
    """What a generator's contact labels call swing is no contact: the slide is that of the labelled frames."""
    clip, label = low_swing_gait()
    joints = joint_track(clip)
    motions = {
        "surface": clip,
        "retargeted": to_default(of_another_size(clip)),
        "joints": joints,
        "joints, the lowest at 0": replace(
            joints, positions=joints.positions - [0.0, 0.0, joints.positions[..., 2].min()]
        ),
    }
    contacts = contact_frames(motions[seen])
    speeds = contacts.group_speed()[:, :2]
    assert number(measure(motions[seen], wrench=False).values["slide_mean_mm_s"]) == pytest.approx(
        1e3 * CREEP, rel=1 / 3
    )
    assert np.isfinite(speeds[label]).mean() > 0.6, "what is labelled contact is read, margins apart"
    assert np.isfinite(speeds[~label]).mean() < 0.05


@pytest.mark.parametrize("variant", ["surface", "joints"])
@pytest.mark.parametrize("evade", [skate_over, skate_bobbing, skate_touching])
@pytest.mark.parametrize("fps", RATES)
def test_a_body_that_skates_without_contact_is_seen(fps: float, evade: Callable, variant: str) -> None:
    clip = thinned(evade(clean_motion("stand"), 1.0), fps)
    values = measure(clip if variant == "surface" else joint_track(clip), wrench=False).values
    assert values["skim_mm_s"] == pytest.approx(1e3, rel=0.03)


@pytest.mark.parametrize("variant", ["surface", "joints"])
def test_clean_motion_does_not_skim(variant: str) -> None:
    """Walks, turns, side steps, jumps: something of the feet stands, or the body falls freely."""
    clips = [clean_motion(name, 30.0) for name in ("stand", "step", "walk", "jump")] + make_corpus(24, 5, "train")
    for clip in clips:
        found = measure(clip if variant == "surface" else joint_track(clip), wrench=False).values["skim_mm_s"]
        assert number(found) < 10.0, clip.name


@pytest.mark.parametrize(("name", "most"), [("run", 200.0), ("jog", 250.0), ("jump", 30.0), ("walk", 30.0)])
def test_captured_runs_and_jumps_hardly_skim(name: str, most: float) -> None:
    clip = to_default(read_motion(shared("deepmimic", f"humanoid3d_{name}.npz")))
    for motion in (clip, joint_track(clip)):
        assert number(measure(motion, ground="robust", wrench=False).values["skim_mm_s"]) < most


def test_float_of_the_soles_knows_that_joints_lie_in_the_flesh() -> None:
    """On joints whose soles stand the joint floats by its flesh, the sole does not; both see a body that floats."""
    stands, floats = joint_track(clean_motion("stand", 30.0)), joint_track(standing(path(zero, lambda t: 0.06 + 0 * t)))
    found = measure(stands, wrench=False).values
    assert number(found["float_mean_mm"]) == pytest.approx(25.0, abs=1.0)
    assert number(found["float_sole_mm"]) < 1.0
    assert number(measure(floats, wrench=False).values["float_sole_mm"]) == pytest.approx(60.0, abs=7.0)
    clip = clean_motion("walk", 30.0)
    surface = measure(clip, wrench=False).values
    assert surface["float_sole_mm"] == surface["float_mean_mm"]


@pytest.mark.parametrize(
    ("ground", "offset", "key"), [("as-is", 22.0, SOLES), ("as-is", 1.0, "joints"), ("robust", 22.0, "joints")]
)
def test_joints_stand_beside_the_control_of_their_own_floor(ground: str, offset: float, key: str) -> None:
    assert control_of("joints", ground, offset) == key
    assert control_of("surface", ground, offset) == "surface"
    assert CLEAN_WALK[SOLES]["float_mean_mm"] > 15.0 > CLEAN_WALK["joints"]["float_mean_mm"]


def unpacked_walks(folder: Path) -> list[Clip]:
    """The 24 normal walks of Bandai Namco, written by the data's own tool as the BVH they were and read back."""
    (folder / "bandai_namco").mkdir()
    for part in ("dataset1", "dataset2"):
        pack = dict(np.load(shared("bandai_namco", f"{part}.npz")))
        picked = [k for k, name in enumerate(pack["names"]) if str(name).startswith("dataset-2_walk_normal")]
        rows = [np.arange(pack["starts"][k], pack["starts"][k + 1]) for k in picked]
        pack["names"] = pack["names"][picked]
        pack["starts"] = np.cumsum([0, *map(len, rows)])
        together = np.concatenate(rows) if rows else np.zeros(0, int)
        for name in ("rot_centideg", "pos_root_hips_cm"):
            pack[name] = pack[name][together]
        np.savez(folder / "bandai_namco" / f"{part}.npz", **pack)
    spec = importlib.util.spec_from_file_location("unpack_data", SHARED / "tools" / "unpack_data.py")
    assert spec is not None
    assert spec.loader is not None
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    vars(tool)["DATA"] = folder
    tool.bandai(folder)
    return [to_default(read_motion(file)) for file in sorted(folder.glob("*.bvh"))]


def test_clean_walks_score_what_the_report_says(tmp_path: Path) -> None:
    walks = unpacked_walks(tmp_path)
    assert len(walks) == 24
    found = clean_walk(walks)
    for variant, values in CLEAN_WALK.items():
        for name, value in values.items():
            assert found[variant][name] == pytest.approx(value, rel=0.05, abs=1e-3), f"{variant} {name}"
    assert found["surface"]["slide_mean_mm_s"] < SLIDE_FAST * 1e3


@pytest.mark.parametrize("name", ["walk", "long_walk1", "long_walk2"])
def test_deepmimic_walks_hardly_slide(name: str) -> None:
    clip = to_default(read_motion(shared("deepmimic", f"humanoid3d_{name}.npz")))
    values = measure(clip, ground="robust", wrench=False).values
    assert number(values["slide_mean_mm_s"]) < 30.0
    assert number(values["slide_ratio"]) < 0.15


def test_contact_of_a_captured_walk_agrees_with_pinned_contacts() -> None:
    """pybvh's `adaptive` setting on CMU 12_01, at 120 fps; its others miss most of a stance (docs/lab/contact.md)."""
    pins = np.load(shared("metric_refs", "foot_contacts_pinned.npz"))
    clip = to_default(read_motion(shared("metric_refs", "cmu_12_01_walk.bvh")))
    pinned = pins["run6/contacts"][1:].astype(bool)
    assert len(pinned) == clip.num_frames
    touching = contact_frames(clip).group_touching()[:, :2]
    at = np.minimum(np.rint(np.arange(len(pinned)) / 4).astype(int), len(touching) - 1)
    assert (touching[at] == pinned).mean() > 0.8
    assert (touching[at] & pinned).sum() > 0.85 * touching[at].sum()
