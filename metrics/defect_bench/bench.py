"""The defect bench: what every definition reads of defects of known size, at four frame rates, and the gate on ours.

A definition is fps-dependent where the same motion reads differently at another frame rate, and blind where its reading
does not move with the defect. Slide, float and penetration of ours must read what was injected: that is the gate.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from morphloop.base import MotionError
from morphloop.base.pool import Message, crew_size, run_tasks
from morphloop.base.threads import fixed_threads
from morphloop.motion import HUMANML3D_JOINTS, Clip, JointTrack

from ..measurement import measure
from ..points import Variant, motion_points
from ..registry import DESIGN, METRICS
from .as_fed import AS_FED, as_fed
from .clean_motion import SECONDS, clean_motion, thinned
from .defects import DEFECTS, STILL_FEET, Defect, inject

VARIANTS: tuple[Variant, ...] = ("surface", "joints")
RATES = (20.0, 30.0, 60.0, 120.0)
SHARE, LEAST = 0.03, 1.0
"""The gate: the error may be 3 % of what was injected, or 1 mm (1 mm/s), whichever is larger."""
DEPENDENT, JERK_DEPENDENT = 1.03, 1.10
"""Largest over smallest reading over the frame rates from which a definition is called fps-dependent."""
BLIND = 0.02
"""A reading that moves by less than this share of itself at every frame rate does not see the defect."""
QUIET = 1e-3
"""Readings under this, in the definition's unit, count as 0: what is left of rounding and of the filter's ends."""
SLIDE = (
    "slide_mean_mm_s",
    "slide_ratio",
    "physdiff_skate_mm",
    "physdiff_skate_mm as fed",
    "gmd_skating_ratio",
    "gmd_skating_ratio as fed",
    "edge_pfc",
    "edge_pfc as fed",
    "naive slide",
)
SKATE = ("skim_mm_s", *SLIDE[:3], "gmd_skating_ratio", "unsupported_ratio", "residual_wrench_ratio", "float_mean_mm")
MEANT: dict[str, tuple[str, ...]] = {
    "slide": SLIDE,
    "slide for a while": SLIDE,
    "skate over the ground": SKATE,
    "skate bobbing": SKATE,
    "skate touching now and then": SKATE,
    "float": (
        "float_mean_mm",
        "float_sole_mm",
        "physdiff_float_mm",
        "physdiff_phys_err_mm",
        "gmd_skating_ratio",
        "edge_pfc",
    ),
    "penetration": ("penetration_mean_mm", "physdiff_penetrate_mm", "physdiff_phys_err_mm", "gmd_skating_ratio"),
    "sink for a while": ("penetration_mean_mm", "penetration_max_mm", "penetration_ratio", "physdiff_penetrate_mm"),
    "hover for a while": ("unsupported_ratio", "float_mean_mm", "physdiff_float_mm", "edge_pfc"),
    "jitter": ("jitter_rms_mm", "jerk_mean_m_s3", "raw jerk", "edge_pfc"),
    "foot flip": ("joint_speed_max_rad_s", "joint_limit_ratio", "jerk_mean_m_s3", "raw jerk", "edge_pfc"),
    "time-warp of a flight": ("unsupported_ratio", "residual_wrench_ratio", "jerk_mean_m_s3", "edge_pfc"),
}
"""Definitions that a reader would turn to for each defect; a page names them even where they do not move."""

Values = dict[str, float | None]
Readings = tuple[float | None, ...]


@dataclass(frozen=True)
class Case:
    """One defect of one size in one clean motion, seen in one variant.

    expected: reading by definition, where it follows from the size; clean and readings: by definition, one value for
    each of `RATES`, before and after the injection.
    """

    defect: str
    size: float
    unit: str
    motion: str
    variant: Variant
    metric: str
    gated: bool
    expected: dict[str, float]
    clean: dict[str, Readings]
    readings: dict[str, Readings]

    def error(self) -> float | None:
        """Largest error of the answering metric over the frame rates, in its unit; infinite where it reads null, None
        where nothing is expected of it."""
        if self.metric not in self.expected:
            return None
        want = self.expected[self.metric]
        return max(np.inf if value is None else abs(value - want) for value in self.readings[self.metric])

    def allowed(self) -> float:
        """The error that the gate lets pass."""
        return max(SHARE * abs(self.expected[self.metric]), LEAST)

    def failure(self) -> str | None:
        """One line if the gate fails here."""
        error = self.error()
        if not self.gated or error is None or error <= self.allowed():
            return None
        read = ", ".join("null" if v is None else f"{v:.2f}" for v in self.readings[self.metric])
        return (
            f"{self.defect} {self.size:g} {self.unit} in {self.motion} ({self.variant}): {self.metric} should read "
            f"{self.expected[self.metric]:.2f} within {self.allowed():.2f}, reads {read} at "
            f"{', '.join(f'{fps:g}' for fps in RATES)} fps"
        )


@fixed_threads()
def run_bench(
    seed: int = 0,
    defects: Sequence[str] = tuple(DEFECTS),
    motions: Sequence[str] | None = None,
    watch: Callable[[int, int], None] = lambda done, total: None,
    workers: int | None = 0,
) -> list[Case]:
    """Every defect at every size in its clean motions, in both variants. motions: only these of them; watch: told how
    many injections of how many are done; workers: processes, one a core if None, 0 for this one alone. The same seed
    gives the same figures, whoever reads them. MotionError where a worker died."""
    chosen = [
        (DEFECTS[name], motion)
        for name in defects
        for motion in DEFECTS[name].motions
        if motions is None or motion in motions
    ]
    clean = [{"motion": motion} for motion in dict.fromkeys(motion for _, motion in chosen)]
    injections = [(defect, size, motion) for defect, motion in chosen for size in defect.sizes]
    spoiled = [{"motion": motion, "defect": defect.name, "size": size} for defect, size, motion in injections]
    tasks = [task | {"seed": seed} for task in (*clean, *spoiled)]
    found: dict[int, Message] = {}
    for number, message in run_tasks(read_message, tasks, crew_size(workers, len(tasks))):
        if message is None:
            watch(max(len(found) - len(clean), 0), len(injections))
        elif "died" in message:
            raise MotionError(f"{tasks[number]['motion']}: the worker that measured it died: {message['died']}")
        else:
            found[number] = message
    unspoiled = {task["motion"]: found[place] for place, task in enumerate(clean)}
    return [
        _case(defect, size, motion, variant, unspoiled[motion][variant], found[len(clean) + place][variant])
        for place, (defect, size, motion) in enumerate(injections)
        for variant in VARIANTS
    ]


def read_message(task: Message) -> Iterator[Message]:
    """A worker's task: by variant, what is expected of a clean motion with a defect, or without one, and what every
    definition reads of it."""
    source, told = _source(task["motion"]), {}
    for variant in VARIANTS:
        clip, expected = source, {}
        if "defect" in task:
            resting = None if variant == "surface" else _track(source).positions[..., 2].min(axis=1)
            clip, injected = inject(task["defect"], source, task["size"], task["seed"], resting)
            expected = injected.expected
        told[variant] = {"expected": expected, "readings": _read(clip, variant)}
    yield told


_source = lru_cache(maxsize=2)(clean_motion)
"""Tasks of a motion come one after the other."""


def _case(defect: Defect, size: float, motion: str, variant: Variant, clean: Message, spoiled: Message) -> Case:
    return Case(
        defect=defect.name,
        size=size,
        unit=defect.unit,
        motion=motion,
        variant=variant,
        metric=defect.metric,
        gated=defect.gated and (defect.name != "slide" or motion in STILL_FEET),
        expected=spoiled["expected"],
        clean=_readings(clean),
        readings=_readings(spoiled),
    )


def _readings(told: Message) -> dict[str, Readings]:
    return {name: tuple(values) for name, values in told["readings"].items()}


def _track(clip: Clip) -> JointTrack:
    """The clip as a generator of HumanML3D's joints would emit it, the ground where it is."""
    return JointTrack(clip.fps, HUMANML3D_JOINTS, clip.positions[:, : len(HUMANML3D_JOINTS)])


def _read(source: Clip, variant: Variant) -> dict[str, Readings]:
    """What every definition reads of a finely sampled clip at each of `RATES`."""
    rows: list[Values] = []
    for fps in RATES:
        clip = thinned(source, fps)
        motion = clip if variant == "surface" else _track(clip)
        rows.append(dict(measure(motion).values) | as_fed(motion_points(motion)))
    return {name: tuple(row[name] for row in rows) for name in rows[0]}


def failures(cases: Sequence[Case]) -> list[str]:
    """What the gate does not let pass, a line each."""
    return [line for case in cases if (line := case.failure()) is not None]


@dataclass(frozen=True)
class Line:
    """What one definition reads of one case. spread: largest over smallest reading over the frame rates, infinite where
    only some read anything, None where none does; moved: whether the reading moves with the defect."""

    case: Case
    name: str
    unit: str
    ours: bool
    expected: float | None
    clean: Readings
    readings: Readings
    spread: float | None
    moved: bool

    @property
    def dependent(self) -> bool:
        """Whether it reads differently at another frame rate; a share of frames, by more than a frame at the lowest."""
        values = [value for value in self.readings if value is not None]
        if self.unit == "" and len(values) == len(RATES) and max(values) - min(values) <= 1.0 / (RATES[0] * SECONDS):
            return False
        limit = JERK_DEPENDENT if "jerk" in self.name else DEPENDENT
        return self.spread is not None and self.spread > limit

    @property
    def verdict(self) -> str:
        """`blind`, `fps-dependent`, `null` or nothing."""
        if all(value is None for value in self.readings):
            return "null"
        if not self.moved:
            return "blind"
        return "fps-dependent" if self.dependent else ""


def lines(case: Case) -> list[Line]:
    """Of one case: the definitions meant for its defect, and every other one that moves with it, ours first."""
    meant = MEANT[case.defect]
    found = [_line(case, name) for name in case.readings]
    found = [line for line in found if line.name in meant or line.moved]
    order = {name: k for k, name in enumerate(meant)}
    return sorted(found, key=lambda line: order.get(line.name, len(order)))


def _line(case: Case, name: str) -> Line:
    clean, readings = case.clean[name], case.readings[name]
    unit = METRICS[name].unit if name in METRICS else AS_FED[name][0]
    ours = name in METRICS and METRICS[name].source == DESIGN
    expected = case.expected.get(name)
    return Line(case, name, unit, ours, expected, clean, readings, spread(readings), _moved(clean, readings))


def spread(readings: Readings) -> float | None:
    """Largest over smallest of the readings that are not null; infinite if some are 0, or null, and others are not."""
    values = [0.0 if value is None or abs(value) < QUIET else abs(value) for value in readings]
    if max(values) == 0.0:
        return None
    return max(values) / min(values) if min(values) > 0 else float("inf")


def _moved(clean: Readings, readings: Readings) -> bool:
    for before, after in zip(clean, readings, strict=True):
        if (before is None) != (after is None):
            return True
        if before is not None and after is not None:
            change = abs(after - before)
            if change > max(QUIET, BLIND * max(abs(before), abs(after))):
                return True
    return False
