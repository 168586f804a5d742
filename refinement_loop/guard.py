"""The guard: did fine-tuning on what physics did make the raw generator better, on prompts that it never saw?

The tuned generator answers held-out prompts beside the run's starting generator and the one of the round before;
nothing is projected. One physical metric would be won by standing still, so adherence to the prompt, R-precision,
motion energy and diversity must be kept as well. Changes are bootstrapped in pairs by prompt, not by sample: samples of
one prompt are no independent evidence. A slow drift shows against the start, a bad step against the round before.

Few prompts prove little. With `FULL_PROMPTS` and `FULL_SAMPLES` the lower end of the interval decides, and doubt is
against the tuned generator. With fewer even an unchanged generator would fail that, so where the interval holds both
the bound and no loss at all, the mean decides and the guard says that it did.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from morphloop.generator import Generator
from morphloop.metrics import paired_difference, summarise
from morphloop.metrics.summary import Summary

from .config import FULL_PROMPTS, FULL_SAMPLES
from .guard_samples import PHYSICS, PRECISION, HeldOut, Row, Tick
from .retrieval import CHANCE

DECISIVE = "physdiff_phys_err_mm"
ADHERENCE_LOSS = 0.05
"""Share of samples by which adherence, and R-precision@3, may seem to fall."""
LIVELINESS_LOSS = 0.10
"""Share of motion energy and of diversity that may seem to be lost."""
LEAST = {"joint_speed_m_s": 0.01, "root_travel_m_s": 0.1, "diversity_m": 0.01}
"""A class of prompts that had less than this has none to lose: standing has no travel."""
LABELS = {
    "adherence": "adherence to prompts",
    PRECISION: "R-precision@3",
    "joint_speed_m_s": "motion energy (joint speed)",
    "root_travel_m_s": "motion energy (root travel)",
    "diversity_m": "diversity",
    DECISIVE: "Phys-Err",
}
AGAINST = {"start": "the starting generator", "before": "the round before"}
RULE = (
    "keep the tuned generator if, against the starting generator and against the round before, the lower end of the "
    f"95 % interval of the change is above -{ADHERENCE_LOSS:g} for adherence and R-precision@3 and above "
    f"-{LIVELINESS_LOSS:.0%} for motion energy and diversity, and the interval of the change of {DECISIVE} does not "
    f"lie above 0; with under {FULL_PROMPTS} prompts or {FULL_SAMPLES} samples the mean decides where the interval "
    "cannot"
)

Decided = Literal["interval", "mean", "nothing"]


@dataclass(frozen=True)
class Check:
    """One figure against one other generator: its change, and what that decided.

    decided_by: "interval", "mean" where too few prompts left the interval too wide, "nothing" without a figure;
    text: the same in plain words.
    """

    figure: str
    against: str
    change: Summary
    passed: bool
    decided_by: Decided
    text: str


def compare_generators(
    start: Generator, before: Generator, after: Generator, held_out: HeldOut, tick: Tick
) -> dict[str, Any]:
    """Raw motion of three generators on the same held-out prompts and seeds, and whether `after`, the tuned, is kept.

    Returns what guard.json holds. `metrics` by name, `adherence`, `r_precision_3`, `motion_energy` (joint speed, and
    `root_travel`) and `diversity` each have before, after, start, change (after less before) and change_from_start:
    mean, median, ci95 over prompts. Changes of energy and diversity are shares of what the prompt's class had. A figure
    that is null on either side leaves that prompt out.
    """
    sides = {"start": start, "before": before, "after": after}
    waits = {generator.hash(): generator for generator in sides.values()}
    count = len(held_out.prompts)
    found: dict[str, list[Row]] = {}
    for done, (key, generator) in enumerate(waits.items()):
        found[key] = held_out.answers(generator, lambda n, _, so_far=done * count: tick(so_far + n, len(waits) * count))
    rows = {side: found[generator.hash()] for side, generator in sides.items()}
    hashes = {side: generator.hash() for side, generator in sides.items()}
    return judge_answers(rows, held_out) | {"generators": hashes, "clips": _beside(rows)}


def judge_answers(rows: dict[str, list[Row]], held_out: HeldOut) -> dict[str, Any]:
    """The figures and the verdict of rows by side: "start", "before" and "after"."""
    full = len(held_out.prompts) >= FULL_PROMPTS and held_out.samples >= FULL_SAMPLES
    seed = held_out.seed
    physics = _compared({side: [row["physics"] for row in part] for side, part in rows.items()}, seed)
    words = _compared({side: [{"x": row["adherence"]} for row in part] for side, part in rows.items()}, seed)["x"]
    judge = _compared({side: [{"x": row.get(PRECISION)} for row in part] for side, part in rows.items()}, seed)["x"]
    lively = {name: _relative(rows, name, seed) for name in LEAST}
    checks: list[Check] = []
    for against, key in (("start", "change_from_start"), ("before", "change")):
        checks.append(_no_loss("adherence", against, words, words[key], ADHERENCE_LOSS, full))
        checks.append(_no_loss(PRECISION, against, judge, judge[key], ADHERENCE_LOSS, full))
        checks += [_no_loss(name, against, lively[name], lively[name][key], LIVELINESS_LOSS, full) for name in LEAST]
        checks.append(_no_rise(against, physics[DECISIVE], physics[DECISIVE][key]))
    failed = [check for check in checks if not check.passed]
    judged = sum(row["adherence"] is not None for row in rows["after"])
    return {
        "schema": 3,
        "prompts": len(held_out.prompts),
        "samples": held_out.samples,
        "metrics": {name: physics[name] for name in PHYSICS},
        "adherence": words | {"judged": judged, "chance": _chance(rows["after"]), "by_fact": _by_fact(rows)},
        PRECISION: judge | {"chance": CHANCE, "evaluator": _named(held_out)},
        "motion_energy": lively["joint_speed_m_s"]
        | {"root_travel": lively["root_travel_m_s"], "by_class": _by_class(rows)},
        "diversity": lively["diversity_m"],
        "rule": RULE,
        "rolled_back": bool(failed),
        "reasons": list(dict.fromkeys(check.text for check in failed or checks)),
        "caveats": _caveats(checks, held_out),
        "checks": [asdict(check) for check in checks],
    }


def _named(held_out: HeldOut) -> dict[str, str] | None:
    """Who judged."""
    evaluator = held_out.judge
    return None if evaluator is None else {"kind": evaluator.kind, "hash": evaluator.hash}


def _compared(sides: dict[str, list[dict[str, float | None]]], seed: int) -> dict[str, dict[str, Any]]:
    """By figure: summaries of every side and of the changes of "after"."""
    means = {side: summarise(rows, seed) for side, rows in sides.items()}
    change = paired_difference(sides["before"], sides["after"], seed)
    from_start = paired_difference(sides["start"], sides["after"], seed)
    return {
        name: {side: table[name] for side, table in means.items()}
        | {"change": change[name], "change_from_start": from_start[name]}
        for name in change
    }


def _relative(rows: dict[str, list[Row]], name: str, seed: int) -> dict[str, Any]:
    """Summaries of a figure, its changes as shares of the mean that the prompt's class has in the other generator.

    Classes count by their prompts, each on its own scale, so that those who walk do not hide those who wave no more.
    """
    figure = _compared({side: [{"x": row[name]} for row in part] for side, part in rows.items()}, seed)["x"]
    for against, key in (("start", "change_from_start"), ("before", "change")):
        scale = _class_means(rows[against], name)
        known = {kind: mean for kind, mean in scale.items() if mean is not None and mean >= LEAST[name]}
        old, new = ([{"x": _share(row, name, known)} for row in part] for part in (rows[against], rows["after"]))
        figure[key] = paired_difference(old, new, seed)["x"]
    return figure


def _share(row: Row, name: str, known: dict[str, float]) -> float | None:
    return None if row[name] is None or row["class"] not in known else row[name] / known[row["class"]]


def _class_means(rows: Sequence[Row], name: str) -> dict[str, float | None]:
    kinds = dict.fromkeys(row["class"] for row in rows)
    members = {kind: [{"x": row[name]} for row in rows if row["class"] == kind] for kind in kinds}
    return {kind: summarise(part)["x"]["mean"] for kind, part in members.items()}


def _no_loss(name: str, against: str, figure: dict[str, Any], change: Summary, bound: float, full: bool) -> Check:
    """Whether a figure surely lost less than the bound; see the module's docstring for what few prompts do."""
    mean, interval = change["mean"], change["ci95"]
    what = f"{LABELS[name]} against {AGAINST[against]}"
    if mean is None:
        return Check(name, against, change, True, "nothing", f"{what}: no prompt has the figure on both sides")
    said = f"{what}: {_spoken(figure[against])} to {_spoken(figure['after'])}, change {_signed(mean)}"
    if interval is None:
        return Check(name, against, change, mean > -bound, "mean", f"{said}; one prompt has no interval")
    said += f" [{_signed(interval[0])}, {_signed(interval[1])}], bound -{bound:.0%}"
    if interval[0] > -bound:
        return Check(name, against, change, True, "interval", said)
    if full or interval[1] < 0.0 or mean <= -bound:
        return Check(name, against, change, False, "interval", said)
    return Check(name, against, change, True, "mean", f"{said}; the interval holds both, the mean decided")


def _no_rise(against: str, figure: dict[str, Any], change: Summary) -> Check:
    """Whether Phys-Err did not surely rise."""
    interval = change["ci95"]
    what = f"{LABELS[DECISIVE]} against {AGAINST[against]}"
    if interval is None:
        return Check(DECISIVE, against, change, True, "nothing", f"{what}: no interval from fewer than two prompts")
    said = f"{what}: {figure[against]['mean']:.2f} to {figure['after']['mean']:.2f} mm, change {change['mean']:+.2f}"
    said += f" [{interval[0]:+.2f}, {interval[1]:+.2f}]"
    return Check(DECISIVE, against, change, interval[0] <= 0.0, "interval", said)


def _signed(share: float) -> str:
    return f"{100 * share:+.1f} %"


def _spoken(summary: Summary) -> str:
    return "none" if summary["mean"] is None else f"{summary['mean']:.3g}"


def _caveats(checks: Sequence[Check], held_out: HeldOut) -> list[str]:
    """What this comparison could not tell, in plain words."""
    count = f"{len(held_out.prompts)} prompts with {held_out.samples} samples each"
    told: dict[str, float] = {}
    for check in checks:
        if check.decided_by == "mean" and check.change["ci95"] is not None:
            reach = (check.change["mean"] or 0.0) - check.change["ci95"][0]
            told[check.figure] = max(reach, told.get(check.figure, 0.0))
    lines = [f"{count} tell no loss of {LABELS[name]} under {reach:.0%} from chance" for name, reach in told.items()]
    missing = dict.fromkeys(LABELS[check.figure] for check in checks if check.decided_by == "nothing")
    return lines + [f"{name} could not be compared" for name in missing]


def _chance(rows: Sequence[Row]) -> float | None:
    """Mean chance level of the prompts that could be judged."""
    return summarise([{"x": row["chance"]} for row in rows])["x"]["mean"]


def _by_fact(rows: dict[str, list[Row]]) -> dict[str, Any]:
    """By fact: prompts that name it, and the share of their samples of which it holds, side by side."""
    names = sorted({name for row in rows["after"] for name in row["facts"]})
    table = {}
    for name in names:
        shares = {side: [row["facts"][name] for row in part if name in row["facts"]] for side, part in rows.items()}
        table[name] = {"prompts": len(shares["after"])} | {side: sum(s) / len(s) for side, s in shares.items()}
    return table


def _by_class(rows: dict[str, list[Row]]) -> dict[str, Any]:
    """By class of prompts: how many, and mean joint speed and root travel, side by side."""
    kinds = sorted({row["class"] for row in rows["after"]})
    table: dict[str, Any] = {kind: {"prompts": sum(row["class"] == kind for row in rows["after"])} for kind in kinds}
    for name in ("joint_speed_m_s", "root_travel_m_s"):
        means = {side: _class_means(part, name) for side, part in rows.items()}
        for kind in kinds:
            table[kind][name] = {side: means[side][kind] for side in means}
    return table


def _beside(rows: dict[str, list[Row]]) -> list[dict[str, Any]]:
    """Each prompt with its row of every side."""
    return [
        {"prompt": row["prompt"]} | {side: part[place] for side, part in rows.items()}
        for place, row in enumerate(rows["after"])
    ]
