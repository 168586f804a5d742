"""Every metric by name: what computes it, unit, definition, thresholds with their source, the variants that have it.

The names are those of results and files; nothing computes a metric that has no entry here. A new metric is a function
in a file of its own, from `Context` to values by name, and an entry here; those of packages come by `added`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property

from morphloop.motion import Clip
from morphloop.sim.bodies.description import CONTACT_SHARE
from morphloop.sim.bodies.smpl_description import SMPL_DESCRIPTION

from . import (
    contact,
    joint_limits,
    legacy,
    limmt,
    loaded,
    margins,
    plausibility,
    points,
    signals,
    tracking,
    vertices,
    wrench,
)
from .added import added_metrics
from .clip_context import Context
from .metric import Metric, Values
from .self_penetration import self_penetration


def _mm(metres: float) -> str:
    return f"{1e3 * metres:g} mm"


DESIGN = "morphloop's measurement contract"
PHC = "PHC (arXiv 2305.06456)"
GRID = {"low-pass": f"{signals.LOWPASS_HZ:g} Hz zero phase", "grid": f"{signals.GRID_HZ:g} Hz"}
BETWEEN = {"looked at": f"{signals.FINE_HZ:g} Hz or more, modified Akima between frames"}
OVER_SOLE = {
    "toe joint over sole (joints)": _mm(points.TOE_CLEARANCE),
    "ankle joint over sole (joints)": _mm(points.ANKLE_CLEARANCE),
}
CONTACT = (
    GRID
    | {
        "enter": _mm(contact.ENTER_M),
        "leave": _mm(contact.LEAVE_M),
        "vertical speed to enter": f"{contact.SETTLED_SPEED:g} m/s",
        "to stay": f"{contact.VERTICAL_SPEED:g} m/s",
        "any vertical speed": f"deeper than {_mm(contact.SUNK_M)}",
        "shortest": f"{contact.SHORTEST_S:g} s",
        "left out at a contact's beginning and end": f"{contact.LANDING} and {contact.LEAVING} samples",
        "toes that hang from a pointed foot": f"over {_mm(contact.HANG_M)}, for {contact.POINTED_S:g} s",
    }
    | OVER_SOLE
)
WRENCH = GRID | {
    "friction": f"{wrench.FRICTION:g}, pyramid of {wrench.CONE_EDGES} edges inscribed in the cone",
    "patch": f"points under {_mm(wrench.PATCH_M)} within {wrench.SPREAD} samples",
}
LOADED = {
    "foot carries load": f"over {SMPL_DESCRIPTION.contact_force:g} N, "
    f"of a robot {100 * CONTACT_SHARE:g} % of its weight"
}
BORNE = {
    "bears load": f"from {100 * loaded.LOADED_SHARE:g} % of body weight, mean over a control step",
    "left out at load's beginning and end": f"{loaded.MARGIN_S:.2g} s",
}
STEPPED = {
    "loses load": f"under {100 * loaded.LOST_SHARE:g} % of body weight",
    "takes it again": f"from {100 * loaded.LOADED_SHARE:g} %",
}
PHYSDIFF = {"tolerance": _mm(legacy.PHYSDIFF_TOLERANCE), "rate": f"{legacy.PHYSDIFF_HZ:g} fps"}
SMPLSIM_SOURCE = "SMPLSim, smpl_eval.py (github.com/ZhengyiLuo/SMPLSim)"
SMPLSIM = {"floor": _mm(vertices.SMPLSIM_FLOOR), "rate": f"{vertices.SMPLSIM_HZ:g} fps"}
TRACKING = {"rate": f"{tracking.TRACKING_HZ:g} fps"}


def _ground(seen: Context) -> Values:
    return {"ground_offset_mm": 1e3 * seen.offset}


def _penetration(seen: Context) -> Values:
    return plausibility.penetration(seen.points.dense_lowest)


def _floating(seen: Context) -> Values:
    return plausibility.floating(seen.points.dense_lowest, seen.points.dense_clear)


def _unsupported(seen: Context) -> Values:
    return plausibility.unsupported(seen.points.clear, seen.points.com, seen.points.fps, seen.points.dense_clear)


def _slide(seen: Context) -> Values:
    return contact.slide(seen.contacts)


def _skim(seen: Context) -> Values:
    return contact.skim(seen.contacts, seen.grid_com)


def _smoothness(seen: Context) -> Values:
    return plausibility.smoothness(seen.points.positions, seen.smooth_joints, seen.grid_joints)


def _joint_speed(seen: Context) -> Values:
    if not isinstance(seen.motion, Clip):
        return {"joint_speed_max_rad_s": None}
    return plausibility.joint_speed(seen.motion.rotations, seen.motion.fps)


def _joint_limits(seen: Context) -> Values:
    return joint_limits.joint_limits(seen.motion, seen.body)


def _physdiff(seen: Context) -> Values:
    return legacy.physdiff(seen.resampled(legacy.PHYSDIFF_HZ))


def _smplsim(seen: Context) -> Values:
    return vertices.smplsim(seen.points)


def _gmd_skating(seen: Context) -> Values:
    return legacy.gmd_skating(seen.resampled(legacy.GMD_HZ))


def _edge_pfc(seen: Context) -> Values:
    return legacy.edge_pfc(seen.resampled(legacy.PFC_HZ))


def _loads(seen: Context) -> Values:
    return loaded.measure_loads(seen.loads, seen.body, seen.reference)


def _margins(seen: Context) -> Values:
    return margins.measure_margins(seen.loads, seen.body)


_ALL = (
    Metric(
        "ground_offset_mm",
        "mm",
        "height that `robust` (with ground `lowest`: that choice) takes off to put the motion on the ground",
        DESIGN,
        _ground,
        better="",
        thresholds=BETWEEN | {"percentile": f"{points.ROBUST_PERCENTILE:g}"},
    ),
    Metric(
        "penetration_mean_mm",
        "mm",
        "mean of max(0, -h), h the height of the lowest point",
        DESIGN,
        _penetration,
        thresholds=BETWEEN,
    ),
    Metric("penetration_max_mm", "mm", "largest max(0, -h)", DESIGN, _penetration, thresholds=BETWEEN),
    Metric(
        "penetration_ratio",
        "",
        "share of the time deeper than the threshold",
        DESIGN,
        _penetration,
        thresholds=BETWEEN | {"deep": _mm(plausibility.DEEP_M)},
    ),
    Metric("float_mean_mm", "mm", "mean of max(0, h)", DESIGN, _floating, thresholds=BETWEEN),
    Metric(
        "float_sole_mm",
        "mm",
        "the same with each point's standing height taken off: that of the soles, where joints lie in the flesh",
        DESIGN,
        _floating,
        thresholds=BETWEEN | OVER_SOLE,
    ),
    Metric(
        "unsupported_ratio",
        "",
        "share of the time with h over the threshold (joints: each joint's height less its clearance) whose centre of "
        "mass is not in free fall; airborne segments too short for the fit are left out",
        DESIGN,
        _unsupported,
        thresholds={
            "airborne": _mm(plausibility.AIRBORNE_M),
            "fit": f"{plausibility.FIT_S:g} s",
            "free fall": f"within {plausibility.FREE_FALL_ERROR:g} m/s2 of gravity",
        },
    ),
    Metric(
        "slide_mean_mm_s",
        "mm/s",
        "mean horizontal speed of the body's material point over contact frames, one value a foot and one for the rest",
        DESIGN,
        _slide,
        thresholds=CONTACT,
    ),
    Metric(
        "slide_ratio",
        "",
        "share of those values over the threshold",
        DESIGN,
        _slide,
        thresholds=CONTACT | {"fast": f"{1e3 * contact.SLIDE_FAST:g} mm/s"},
    ),
    Metric(
        "skim_mm_s",
        "mm/s",
        "travel over the ground on feet that nowhere stand still, whether they touch or not: mean horizontal speed of "
        "the slowest foot segment under the height, the slowest within the time, where no other part of the body is "
        "under it, weighted by the vertical force that the centre of mass asks for: free fall counts for nothing",
        DESIGN,
        _skim,
        thresholds=GRID
        | {"height": _mm(contact.SKIM_M), "within": f"{contact.SKIM_REACH / signals.GRID_HZ:g} s to either side"},
    ),
    Metric(
        "slide_loaded_mm_s",
        "mm/s",
        "mean over feet and control steps of the horizontal speed of a foot's slower loaded segment (heel to ball, or "
        "toes), the velocity of its material points at their contacts weighted by force; the headline after projection",
        DESIGN,
        _loads,
        thresholds=BORNE,
        needs="rollout",
        variants=("surface",),
    ),
    Metric(
        "restep_per_s",
        "1/s",
        "how often a foot that the reference has planted loses its load and takes it again, per second that a foot is "
        "planted",
        DESIGN,
        _loads,
        thresholds=STEPPED,
        needs="rollout",
        variants=("surface",),
    ),
    Metric(
        "restep_mm",
        "mm",
        "mean over those of how far the point that bore the load last has moved over the ground meanwhile",
        DESIGN,
        _loads,
        thresholds=STEPPED,
        needs="rollout",
        variants=("surface",),
    ),
    Metric(
        "torque_peak_ratio",
        "",
        "largest torque of a servo at a substep over its limit",
        DESIGN,
        _margins,
        thresholds={"hard": f"over {margins.HARD['torque_peak_ratio']:g}"},
        needs="rollout",
        variants=("surface",),
    ),
    Metric(
        "torque_limit_ratio",
        "",
        "share of control steps in which a servo comes to its torque limit",
        DESIGN,
        _margins,
        thresholds={
            "hard": f"over {margins.HARD['torque_limit_ratio']:g}",
            "at the limit": f"{margins.AT_LIMIT:.0%} of it",
        },
        needs="rollout",
        variants=("surface",),
    ),
    Metric(
        "ankle_torque_peak_ratio",
        "",
        "the largest torque of those between knee and foot, over its limit",
        DESIGN,
        _margins,
        thresholds={"hard": f"over {margins.HARD['ankle_torque_peak_ratio']:g}"},
        needs="rollout",
        variants=("surface",),
    ),
    Metric(
        "speed_peak_ratio",
        "",
        "largest speed of a servo's degree of freedom at a substep over its motor's limit, of bodies that tell one",
        DESIGN,
        _margins,
        thresholds={"hard": f"over {margins.HARD['speed_peak_ratio']:g}"},
        needs="rollout",
        variants=("surface",),
    ),
    Metric(
        "impact_peak_bw",
        "body weights",
        "largest ground force on one foot at a substep",
        DESIGN,
        _margins,
        thresholds={"hard": f"over {margins.HARD['impact_peak_bw']:g} body weights"},
        needs="rollout",
        variants=("surface",),
    ),
    Metric(
        "residual_wrench_ratio",
        "",
        "mean size of the wrench that the motion needs and no friction-cone forces at touching points explain: force "
        "over body weight and moment about the centre of mass over body weight x height, taken together; free flight "
        "needs none, a hover scores 1",
        DESIGN,
        wrench.residual_wrench,
        thresholds=WRENCH,
        variants=("surface",),
    ),
    Metric(
        "residual_force_ratio",
        "",
        "its force alone, over body weight",
        DESIGN,
        wrench.residual_wrench,
        thresholds=WRENCH,
        variants=("surface",),
    ),
    Metric(
        "residual_moment_ratio",
        "",
        "its moment alone, over body weight x height",
        DESIGN,
        wrench.residual_wrench,
        thresholds=WRENCH,
        variants=("surface",),
    ),
    Metric(
        "self_penetration_max_mm",
        "mm",
        "deepest that two geoms of the body stand in each other; neighbours in the tree and pairs that overlap as "
        "built are left out",
        DESIGN,
        self_penetration,
        thresholds={"grid": f"{signals.GRID_HZ:g} Hz, no low-pass"},
        variants=("surface",),
    ),
    Metric("jerk_mean_m_s3", "m/s3", "mean size of the joints' third derivative", DESIGN, _smoothness, thresholds=GRID),
    Metric(
        "jitter_rms_mm",
        "mm",
        "RMS over joints and frames of what the low-pass takes off",
        DESIGN,
        _smoothness,
        thresholds=GRID,
    ),
    Metric(
        "joint_limit_ratio",
        "",
        "share of frames in which some joint is beyond its range by more than the tolerance; ranges bound each "
        "component of a ball joint's rotation vector, and a robot's hinges as its description does",
        "ranges after Norkin and White, Measurement of Joint Motion",
        _joint_limits,
        thresholds={"tolerance": f"{joint_limits.TOLERANCE_DEG:g} degrees"},
        variants=("surface",),
    ),
    Metric(
        "joint_speed_max_rad_s",
        "rad/s",
        "largest angular speed of any joint but the root",
        DESIGN,
        _joint_speed,
        thresholds=GRID,
    ),
    Metric(
        "physdiff_penetrate_mm",
        "mm",
        "mean over all frames of max(0, -h - tolerance)",
        "PhysDiff (arXiv 2212.02500)",
        _physdiff,
        thresholds=PHYSDIFF,
    ),
    Metric(
        "physdiff_float_mm",
        "mm",
        "mean over all frames of max(0, h - tolerance)",
        "PhysDiff (arXiv 2212.02500)",
        _physdiff,
        thresholds=PHYSDIFF,
    ),
    Metric(
        "physdiff_skate_mm",
        "mm/frame",
        "horizontal displacement of the lowest point where it is within tolerance in two adjacent frames, mean over "
        "all frames",
        "PhysDiff (arXiv 2212.02500)",
        _physdiff,
        thresholds=PHYSDIFF,
    ),
    Metric(
        "physdiff_phys_err_mm",
        "mm",
        "sum of physdiff_penetrate, _float and _skate",
        "PhysDiff (arXiv 2212.02500)",
        _physdiff,
        thresholds=PHYSDIFF,
    ),
    Metric(
        "smplsim_penetration_mm",
        "mm",
        "mean over frames of the mean depth of the mesh's vertices under the floor; a SMPL model file alone has a mesh",
        SMPLSIM_SOURCE,
        _smplsim,
        thresholds=SMPLSIM,
        variants=("surface",),
    ),
    Metric(
        "smplsim_skate_mm",
        "mm/frame",
        "mean over steps of the mean horizontal displacement of the vertices that are under the floor at both ends",
        SMPLSIM_SOURCE,
        _smplsim,
        thresholds=SMPLSIM,
        variants=("surface",),
    ),
    Metric(
        "gmd_skating_ratio",
        "",
        "share of steps in which a toe joint under the height moves faster than the speed, at once and averaged",
        "GMD (arXiv 2305.12577)",
        _gmd_skating,
        thresholds={
            "rate": f"{legacy.GMD_HZ:g} fps",
            "height": f"{legacy.GMD_HEIGHT:g} m",
            "speed": f"{legacy.GMD_SPEED:g} m/s",
            "window": f"{legacy.GMD_WINDOW} frames",
        },
    ),
    Metric(
        "edge_pfc",
        "",
        "root acceleration times both feet's displacement, the slower of ankle and toe, x 10,000",
        "EDGE (arXiv 2211.10658)",
        _edge_pfc,
        thresholds={"rate": f"{legacy.PFC_HZ:g} fps"},
    ),
    Metric(
        "limmt_score",
        "points",
        "100 less the sum of weight x defect, 0 at worst; of `evaluate --rank` alone. "
        + ". ".join(f"{name}: {definition}" for name, definition in limmt.DEFINITIONS.items()),
        "LIMMT as published (github.com/EGalahad/any4hdmi, physical_filter.py)",
        better="higher",
        thresholds={f"weight of {name}": f"{weight:g}" for name, weight in limmt.WEIGHTS.items()}
        | {
            "foot near the ground": f"under {_mm(limmt.FOOT_LIFT_M)} more than on a flat sole",
            "speed limit": f"the motor's, else {limmt.SPEED_LIMIT:g} rad/s",
            "kept there": f"from {limmt.KEPT:g}",
        },
        needs="ranking",
        variants=("surface",),
    ),
    Metric(
        "sim_contact_ratio",
        "",
        "share of control steps after the start at which the simulator has a foot carry load",
        DESIGN,
        better="",
        thresholds=LOADED,
        needs="rollout",
        variants=("surface",),
    ),
    Metric(
        "sim_slide_mean_mm_s",
        "mm/s",
        "slide of a foot's lowest segment over the control steps at which the simulator has that foot carry load",
        DESIGN,
        thresholds=GRID | LOADED,
        needs="rollout",
        variants=("surface",),
    ),
    Metric(
        "sim_slide_ratio",
        "",
        "share of those control steps over the threshold",
        DESIGN,
        thresholds=GRID | LOADED | {"fast": f"{1e3 * contact.SLIDE_FAST:g} mm/s"},
        needs="rollout",
        variants=("surface",),
    ),
    Metric(
        "sim_force_peak_bw",
        "body weights",
        "largest vertical ground force on both feet at a control step",
        DESIGN,
        needs="rollout",
        variants=("surface",),
    ),
    Metric(
        "success",
        "",
        "1 if the mean body error stays under the threshold to the reference's end; a frozen pose passes on most clips",
        PHC,
        better="higher",
        thresholds=TRACKING | {"mean error": _mm(tracking.SUCCESS_M)},
        needs="reference",
    ),
    Metric(
        "success_strict",
        "",
        "1 if the largest body error stays under the threshold to the reference's end",
        DESIGN,
        better="higher",
        thresholds=TRACKING | {"largest error": _mm(tracking.STRICT_M)},
        needs="reference",
    ),
    Metric(
        "skill",
        "",
        "1 - e_mpjpe / e_mpjpe of the first pose carried along the reference's root",
        DESIGN,
        better="higher",
        thresholds=TRACKING,
        needs="reference",
    ),
    Metric("e_g_mpjpe_mm", "mm", "mean global joint error", PHC, thresholds=TRACKING, needs="reference"),
    Metric("e_mpjpe_mm", "mm", "mean root-relative joint error", PHC, thresholds=TRACKING, needs="reference"),
    Metric(
        "e_vel_mm_frame",
        "mm/frame",
        "mean error of first differences",
        PHC,
        thresholds=TRACKING,
        needs="reference",
    ),
    Metric(
        "e_acc_mm_frame2",
        "mm/frame2",
        "mean error of second differences",
        PHC,
        thresholds=TRACKING,
        needs="reference",
    ),
)


class _Registry(Mapping[str, Metric]):
    """Metrics by name, in the order that tables print: ours, then those that packages add, which are imported when the
    registry is first used: a package may import from here."""

    @cached_property
    def _metrics(self) -> dict[str, Metric]:
        own = {metric.name: metric for metric in _ALL}
        return own | added_metrics(own.keys())

    def __getitem__(self, name: str) -> Metric:
        return self._metrics[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._metrics)

    def __len__(self) -> int:
        return len(self._metrics)

    @cached_property
    def measured(self) -> tuple[Metric, ...]:
        """What `measure` finds, in the order in which a row of a result lists it: rows of all versions line up."""
        found = (metric for metric in self.values() if metric.of is not None)
        last: dict[object, int] = {of: place for place, of in enumerate(_LAST_IN_A_ROW, 1)}
        own = {metric.name for metric in _ALL}
        return tuple(sorted(found, key=lambda m: last.get(m.of, 0) if m.name in own else len(last) + 1))


METRICS = _Registry()
WITHOUT_SOLES = (_smoothness, _joint_speed)
"""What can be said of a robot whose soles nobody knows."""
_LAST_IN_A_ROW = (_joint_speed, self_penetration, _joint_limits, wrench.residual_wrench, _smplsim, _loads)


def markdown() -> str:
    """The registry as the page `docs/metrics.md`; a test holds the page to it."""
    lines = [
        "# Metrics",
        "",
        "Made from `metrics/registry.py`. The same contract measures before and after, kinematic clips and rollouts.",
        "`surface`: the body's geoms, or the mesh where the body is a SMPL model file; `joints`: positions alone.",
        "A result says which, and whose surface (`docs/bodies.md`), and never mixes them.",
        "",
        "| name | unit | definition | thresholds | variants | source |",
        "|---|---|---|---|---|---|",
    ]
    for metric in _ALL:
        thresholds = "; ".join(f"{name} {value}" for name, value in metric.thresholds.items())
        cells = (
            f"`{metric.name}`",
            metric.unit,
            metric.definition,
            thresholds,
            ", ".join(metric.variants),
            metric.source,
        )
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"
