"""The defect bench as a page (`docs/lab/defect_bench.md`) and a picture; every figure and list comes from the cases."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..defect_bench.as_fed import AS_FED
from ..defect_bench.bench import BLIND, DEPENDENT, JERK_DEPENDENT, LEAST, MEANT, QUIET, RATES, SHARE, Case, Line, lines
from ..defect_bench.clean_motion import CLEAN_MOTIONS
from ..defect_bench.defects import DEFECTS, JITTER_BAND, STILL_FEET
from ..points import Variant
from ..signals import LOWPASS_HZ

SHOWN: Variant = "surface"
SHOWN_MOTIONS = ("step", "stand", "jump")
"""The motion that the tables of the page show of each defect: the first of these that the defect is injected into."""
RATES_TEXT = ", ".join(f"{fps:g}" for fps in RATES)


def figure(value: float | None) -> str:
    """Three digits that matter and three decimals at most, a dash for null."""
    if value is None:
        return "-"
    value = 0.0 if abs(value) < QUIET else value
    return f"{value:.0f}" if abs(value) >= 100 else f"{float(f'{value:.3g}'):.3f}".rstrip("0").rstrip(".")


def ratio(value: float | None) -> str:
    """Largest over smallest, as text."""
    if value is None:
        return "-"
    return "inf" if np.isinf(value) else f"{value:.2f}"


def shown_cases(cases: Sequence[Case], variant: Variant = SHOWN) -> list[Case]:
    """The cases of one variant in the motion that stands for each defect."""
    picked = {name: next(m for m in SHOWN_MOTIONS if m in defect.motions) for name, defect in DEFECTS.items()}
    return [case for case in cases if case.variant == variant and case.motion == picked[case.defect]]


def page(cases: Sequence[Case], picture: str) -> str:
    """The page in Markdown. cases: a whole run; picture: file name of `draw`'s picture beside it."""
    parts = [_head(picture), _findings(cases), _gate_table(cases), _definitions()]
    parts += [_defect_table(cases, name) for name in dict.fromkeys(case.defect for case in cases)]
    return "\n\n".join(parts) + "\n"


def _head(picture: str) -> str:
    motions = ", ".join(f"`{name}`" for name in CLEAN_MOTIONS)
    return f"""# The defect bench

Made by `morphloop bench metrics --markdown docs/lab/defect_bench.md`; `--json FILE` holds every figure. Exit code 1 if
the gate below fails.

Clean motion is made in code ({motions}):
planted feet stand still, soles touch z = 0, the flight of the jump is a parabola. Into it goes a defect whose size is
known, in continuous time; both are sampled finely and thinned, so that the clips at {RATES_TEXT} fps are one
motion and not each other's interpolations. Then every definition is asked: ours, the published ones at the rate that
they assume, and the published ones as people run them, fed the frames of a file whatever their rate ("as fed").

![Readings over the frame rate]({picture})

*The same motion at four frame rates. Solid: ours, and published definitions at the rate that they assume. Dashed: as
people run them. A line that is not flat measures the frame rate.*"""


def _findings(cases: Sequence[Case]) -> str:
    shown = [(case, line) for case in shown_cases(cases) for line in lines(case) if line.name in MEANT[case.defect]]
    dependent: dict[str, tuple[float, str]] = {}
    for case, line in shown:
        if line.dependent and line.spread is not None:
            worst = dependent.get(line.name, (0.0, ""))
            dependent[line.name] = max(worst, (line.spread, f"{case.defect} {case.size:g} {case.unit}"))
    texts = ["## What it shows"]
    for ours, title, note in ((False, "published or common", ""), (True, "ours", BELOW_6_HZ)):
        rows = [
            f"- `{name}`: {'reads at some rates and not at others' if np.isinf(worst) else f'{worst:.2f} x'} ({where})"
            for name, (worst, where) in dependent.items()
            if _ours(shown, name) == ours
        ]
        title = f"**fps-dependent, {title}** (largest over smallest reading of the same motion).{note}"
        texts.append(title + "\n\n" + ("\n".join(rows) or "- none"))
    texts.append("**Blind** (the reading does not move with the defect).\n\n" + "\n".join(_blind(shown)))
    texts.append(_false_alarm(cases))
    return "\n\n".join(texts)


BELOW_6_HZ = (
    f" The contract promises agreement for motion below {LOWPASS_HZ:g} Hz; the jitter ({JITTER_BAND[0]:g} to "
    f"{JITTER_BAND[1]:g} Hz) and the flips here are above."
)


def _false_alarm(cases: Sequence[Case]) -> str:
    steps = {c.motion: c.clean for c in cases if c.variant == SHOWN and c.defect == "slide" and c.motion != "stand"}
    reads = "; ".join(
        f"`{motion}` {figure(clean['naive slide'][1])} mm/s (`slide_mean_mm_s` {figure(clean['slide_mean_mm_s'][1])})"
        for motion, clean in steps.items()
    )
    return (
        "**False alarm.** `naive slide` takes the step from one foot to the other for a slide. In clean motion at "
        f"{RATES[1]:g} fps it reads: {reads}."
    )


def _ours(shown: Sequence[tuple[Case, Line]], name: str) -> bool:
    return next(line.ours for _, line in shown if line.name == name)


def _blind(shown: Sequence[tuple[Case, Line]]) -> list[str]:
    found: dict[tuple[str, str], list[tuple[float, bool]]] = {}
    for case, line in shown:
        found.setdefault((case.defect, line.name), []).append((case.size, line.verdict == "blind"))
    rows = []
    for (defect, name), sizes in found.items():
        blind = [f"{size:g}" for size, is_blind in sizes if is_blind]
        if blind:
            share = "at every size" if len(blind) == len(sizes) else f"at {', '.join(blind)} {DEFECTS[defect].unit}"
            rows.append(f"- `{name}` to {defect}, {share}")
    return rows or ["- none"]


def _gate_table(cases: Sequence[Case]) -> str:
    rates = " / ".join(f"{fps:g}" for fps in RATES)
    rows = [
        "## The gate",
        "",
        f"Slide, skating, float and penetration of ours within {SHARE:.0%} or {LEAST:g} mm (mm/s) of the truth, "
        "whichever is larger, at every frame rate and in both variants. A joint lies inside the flesh: the lowest "
        "stands some 25 mm over the sole, so the joints variant should read that much more float and less penetration. "
        "Slide is gated "
        f"where planted feet are exactly still ({', '.join(STILL_FEET)}). The soles of `walk` are stiff boxes that tip "
        "from heel to toe: its clean slide is not 0, and what is injected adds to it as a vector.",
        "",
        f"| injected | motion | surface: true | read at {rates} fps | joints: true | read | worst error | |",
        "|---|---|---|---|---|---|---|---|",
    ]
    gated = [case for case in cases if DEFECTS[case.defect].gated]
    for surface, joints in zip(gated[::2], gated[1::2], strict=True):
        cells = [f"{surface.defect} {surface.size:g} {surface.unit}", surface.motion]
        for case in (surface, joints):
            cells.append(figure(case.expected[case.metric]))
            cells.append(" / ".join(figure(value) for value in case.readings[case.metric]))
        errors = [error for case in (surface, joints) if (error := case.error()) is not None]
        failed = surface.failure() or joints.failure()
        gate = "not gated" if not surface.gated else ("**fails**" if failed else "passes")
        rows.append("| " + " | ".join([*cells, figure(max(errors)), gate]) + " |")
    return "\n".join(rows)


def _definitions() -> str:
    rows = [f"- `{name}`: {text}" for name, (_, text) in AS_FED.items()]
    return (
        "## Definition by definition\n\n"
        f"Surface variant; in the motion {', '.join(f'`{name}`' for name in SHOWN_MOTIONS)} that comes first of those "
        "that the defect is injected into. A definition is "
        f"fps-dependent if the largest reading is more than {DEPENDENT:g} times the smallest ({JERK_DEPENDENT:g} for "
        f"jerk), blind if no reading moves by more than {BLIND:.0%}. A dash: null, or nothing follows from the size "
        "alone. Definitions of ours and of the papers: [metrics.md](../metrics.md). As fed, and common shortcuts:\n\n"
        + "\n".join(rows)
    )


def _defect_table(cases: Sequence[Case], defect: str) -> str:
    head = " | ".join(f"{fps:g} fps" for fps in RATES)
    rows = [
        f"### {defect[0].upper()}{defect[1:]}",
        "",
        f"| size | definition | unit | clean | true | {head} | max / min | |",
        "|---|---|---|---|---|" + "---|" * (len(RATES) + 2),
    ]
    others: list[str] = []
    for case in shown_cases(cases):
        if case.defect != defect:
            continue
        for line in lines(case):
            if line.name not in MEANT[defect]:
                others.append(line.name)
                continue
            reads = " | ".join(figure(value) for value in line.readings)
            rows.append(
                f"| {case.size:g} {case.unit} | `{line.name}` | {line.unit} | {figure(line.clean[1])} "
                f"| {figure(line.expected)} | {reads} | {ratio(line.spread)} | {line.verdict} |"
            )
    if others:
        rows += ["", "It also moves " + ", ".join(f"`{name}`" for name in dict.fromkeys(others)) + "."]
    return "\n".join(rows)


PANELS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    (
        "slide",
        "feet slide",
        (
            "slide_mean_mm_s",
            "physdiff_skate_mm",
            "gmd_skating_ratio",
            "physdiff_skate_mm as fed",
            "gmd_skating_ratio as fed",
            "edge_pfc as fed",
        ),
    ),
    ("jitter", "the body shakes", ("jitter_rms_mm", "jerk_mean_m_s3", "physdiff_skate_mm as fed", "raw jerk")),
)
"""Defect, title and definitions of each panel of the picture."""


def draw(cases: Sequence[Case], path: Path) -> None:
    """A PNG of the readings over the frame rate, each over its own largest: flat is good."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    picture = Figure(figsize=(9.0, 3.6), dpi=110, layout="constrained")
    FigureCanvasAgg(picture)
    for axes, (defect, title, names) in zip(picture.subplots(1, len(PANELS), sharey=True), PANELS, strict=True):
        case = next(c for c in shown_cases(cases) if c.defect == defect and c.size == max(DEFECTS[defect].sizes))
        for k, name in enumerate(names):
            values = np.array([np.nan if value is None else value for value in case.readings[name]])
            style, width = ("--", 1.6) if name in AS_FED else ("-", 5.0 - 1.5 * k)  # lines that coincide stay visible
            axes.plot(RATES, values / np.nanmax(values), style, marker="o", ms=4, lw=width, color=f"C{k}", label=name)
        axes.set(
            xscale="log", xlabel="frames a second", title=f"{title}: {case.size:g} {case.unit}", ylim=(-0.04, 1.12)
        )
        axes.set_xticks(RATES, [f"{fps:g}" for fps in RATES])
        axes.minorticks_off()
        axes.grid(alpha=0.25)
        axes.legend(fontsize=7, frameon=False)
    picture.axes[0].set_ylabel("reading over its largest")
    picture.savefig(path, metadata={"Software": None})
