"""The report of a run: ONE HTML file that opens without a network. Figures, plots, pictures and video are inside it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from markupsafe import Markup

from morphloop.base import MotionError
from morphloop.base.opening import read_json
from morphloop.metrics import CLEAN_WALK, CLEAN_WALK_NAME, METRICS, foot_states, paired_difference
from morphloop.metrics.report.look import Cell, cell, data_uri, number, packaged, style, template, tone, write_page
from morphloop.motion import read_manifest
from morphloop.sim import default_body
from morphloop.sim.drawing.render import strip_bytes, video_bytes

from .config import LoopConfig, SelectionConfig, read_config
from .figures import foot_plots
from .guard import DECISIVE
from .guard_chart import progress_chart
from .links import run_faults
from .records import CLIPS, SOURCES, Record, is_part, load_motion
from .stages import STAGES
from .status import RoundResult, finished_rounds
from .steps.finetune import FINETUNE_FILE, GUARD_FILE
from .steps.imitate import UPDATE_FILE
from .timing import read_timing

TABLE_METRICS = (
    "physdiff_phys_err_mm",
    "physdiff_penetrate_mm",
    "physdiff_float_mm",
    "physdiff_skate_mm",
    "slide_loaded_mm_s",
    "restep_per_s",
    "restep_mm",
    "slide_mean_mm_s",
    "slide_ratio",
    "skim_mm_s",
    "penetration_mean_mm",
    "penetration_max_mm",
    "float_mean_mm",
    "unsupported_ratio",
    "jerk_mean_m_s3",
    "jitter_rms_mm",
)
TRACKING_METRICS = ("success", "success_strict", "skill", "e_mpjpe_mm", "e_g_mpjpe_mm", "e_vel_mm_frame")
SHOWN_CLIPS = 4
LABELS = ("before", "after")
PACKAGE = "morphloop.refinement_loop"


@dataclass(frozen=True)
class ShownClip:
    """A clip in pictures: plots as SVG, a strip (before over after) and a video (side by side) as data URIs."""

    record: Record
    plots: list[Markup]
    strip: str
    video: str
    renderer: str


def write_report(run: Path, path: Path) -> Path:
    """Write the report of what is finished of a run. MotionError if the folder holds no run or no finished round, or
    files of it that were changed so that they cannot be shown; others that were changed the page names."""
    config, found = read_config(run), finished_rounds(run)
    broken = run_faults(run, found)
    try:
        rounds = [_round_view(result, config) for result in found]
    except (MotionError, OSError, KeyError, TypeError, ValueError, AttributeError):
        if not broken:
            raise
        raise MotionError(f"{run}/{broken[0]}; what is left cannot be shown, put it back") from None
    html = template(packaged("report.html", PACKAGE)).render(
        name=run.resolve().name,
        config=config,
        style=style(packaged("report.css", PACKAGE)),
        rounds=rounds,
        planned=len(STAGES),
        progress=Markup(progress_chart([(view["number"], view["guard"]) for view in rounds if view["guard"]])),
        broken=broken,
        clean_walk=CLEAN_WALK_NAME,
        decisive=METRICS[DECISIVE],
        metrics=[METRICS[name] for name in (*TABLE_METRICS, *TRACKING_METRICS)],
        selection=_selection_rows(config.selection),
        versions=_versions(found),
        settings=json.dumps(asdict(config), indent=2),
    )
    return write_page(path, html)


def _round_view(result: RoundResult, config: LoopConfig) -> dict[str, Any]:
    """What the template shows of a round; a stage that is not finished is None."""
    view: dict[str, Any] = {
        "number": result.number,
        "stages": [(name, done.wall_s, _said(done.manifest["notes"])) for name, done in result.stages.items()],
        "selected": None,
        "robot": None if result.robot is None else result.robot.manifest["notes"],
        "imitator": _side_file(result, "imitate", UPDATE_FILE),
        "finetune": _side_file(result, "finetune", FINETUNE_FILE),
        "guard": None,
        "learnt": _learnt(result),
        "skipped": {name: _why_skipped(result, name) for name in ("imitate", "finetune")},
    }
    if view["imitator"] is not None:
        view["imitator"] = _update_table(view["imitator"])
    guard = _side_file(result, "finetune", GUARD_FILE)
    if guard is not None:
        view["guard"] = _guard_view(guard)
    if "select" in result.stages:
        rows = read_manifest(result.stages["select"].folder)
        summary = read_json(result.stages["select"].folder / "summary.json")
        projected = result.stages["project"].folder
        view["selected"] = {
            "counts": result.counts,
            "rows": rows,
            "table": _before_after([row for row in rows if not is_part(row)], summary),
            "tracking": _tracking(summary),
            "sim": {name: cell(value) for name, value in summary["all"]["sim"].items()},
            "certificates": _certificates(rows),
            "by_projector": _by_projector([row for row in rows if not is_part(row)], projected),
            "shown": [_show(row, projected) for row in chosen(rows)],
        }
    return view


def _said(notes: dict[str, Any]) -> dict[str, str]:
    """A stage's notes as text; empty lists and tables are left out."""
    texts = {}
    for key, value in notes.items():
        if isinstance(value, dict):
            value = ", ".join(f"{name} {count}" for name, count in value.items())
        if value != "":
            texts[key.replace("_", " ")] = str(value)
    return texts


def _learnt(result: RoundResult) -> str | None:
    """What of the accepted clips the generator learnt from, and why not from others; None if it learnt from none."""
    done = result.stages.get("finetune")
    notes = {} if done is None else done.manifest["notes"]
    if "fitting" not in notes:
        return None
    accepted, fitting, learnt = (notes[name] for name in ("accepted", "fitting", "learnt"))
    left = f"{accepted - fitting} do not do what their prompt says, {fitting - learnt} physics made no better"
    return f"Learnt from {learnt} of {accepted} accepted clips: {left}."


def _why_skipped(result: RoundResult, stage: str) -> str:
    """What a stage that left no figures says about it."""
    done = result.stages.get(stage)
    notes = {} if done is None else done.manifest["notes"]
    return notes.get("skipped") or notes.get("guard") or "the stage is not finished"


def _update_table(report: dict[str, Any]) -> dict[str, Any]:
    """The imitator's update: (name, held out before and after, learned before and after), and what was done."""
    sides = ("before", "after", "learned_before", "learned_after")
    rows = [(name, [number(report[side].get(name)) for side in sides]) for name in report["before"]]
    return {
        "rows": rows,
        "held_out": len(report["held_out_clips"]),
        "learned": len(report["learned_clips"]),
        "rounds": report["rounds"],
        "kept": report["kept"],
    }


def _certificates(rows: list[Record]) -> dict[str, Any]:
    """How the replays went over all rollouts."""
    found = [row["certificate"] for row in rows if row["certificate"] is not None]
    errors = [certificate["max_error"] for certificate in found]
    return {
        "clips": len(found),
        "passed": sum(certificate["passed"] for certificate in found),
        "bit_equal": sum(certificate["bit_equal"] for certificate in found),
        "max_error": number(max(errors)) if errors and None not in errors else "not finite" if errors else "–",
    }


def _side_file(result: RoundResult, stage: str, name: str) -> dict[str, Any] | None:
    done = result.stages.get(stage)
    if done is None or not (done.folder / name).is_file():
        return None
    return read_json(done.folder / name)


def _before_after(rows: list[Record], summary: dict[str, Any]) -> list[tuple[Any, list[Cell]]]:
    """Rows of the main table: before and after over all and over accepted, then frozen pose and clean mocap."""
    groups = {"all": rows, "accepted": [row for row in rows if row["verdict"] == "accepted"]}
    changes = {
        group: paired_difference([row["before"] for row in members], [row["after"] for row in members])
        for group, members in groups.items()
    }
    table = []
    for name in TABLE_METRICS:
        cells = []
        for group in groups:
            cells.append(cell(summary[group]["before"].get(name)))
            cells.append(cell(summary[group]["after"].get(name), tone(name, changes[group].get(name))))
        cells.append(cell(summary["all"]["frozen"].get(name)))
        cells.append(Cell(number(CLEAN_WALK["surface"].get(name))))
        table.append((METRICS[name], cells))
    return table


def _tracking(summary: dict[str, Any]) -> list[tuple[Any, list[Cell]]]:
    return [
        (METRICS[name], [cell(summary[group]["tracking"].get(name)) for group in ("all", "accepted")])
        for name in TRACKING_METRICS
    ]


def _by_projector(rows: list[Record], projected: Path) -> list[dict[str, Any]]:
    """Clips, acceptance and wall time for a second of motion, for policy and trajectory optimiser apart."""
    timing = read_timing(projected, "clip")
    table = []
    for name in sorted({row["projector"] for row in rows}):
        members = [row for row in rows if row["projector"] == name]
        seconds = sum(row["seconds"] for row in members)
        table.append(
            {
                "projector": name,
                "clips": len(members),
                "accepted": sum(row["verdict"] == "accepted" for row in members),
                "cost": number(sum(timing.get(row["name"], 0.0) for row in members) / seconds) if seconds else "–",
            }
        )
    return table


def _guard_view(guard: dict[str, Any]) -> dict[str, Any]:
    """A comparison for the template; one that an older version wrote has physics before and after alone."""
    sides = ("start", "before", "after", "change", "change_from_start")
    physics = [
        (METRICS[name], [_side(name, figure, side) for side in sides]) for name, figure in guard["metrics"].items()
    ]
    energy = guard.get("motion_energy")
    figures = {
        "adherence to prompts": guard.get("adherence"),
        "R-precision@3": guard.get("r_precision_3"),
        "joint speed (m/s)": energy,
        "root travel (m/s)": None if energy is None else energy["root_travel"],
        "diversity (m)": guard.get("diversity"),
    }
    lively = [(name, [cell(figure[side]) for side in sides]) for name, figure in figures.items() if figure is not None]
    known = {"samples": 1, "reasons": [], "caveats": [], "adherence": None, "checks": []}
    facts = (guard.get("adherence") or {}).get("by_fact", {})
    return known | guard | {"table": physics, "lively": lively, "facts": facts}


def _side(name: str, figure: dict[str, Any], side: str) -> Cell:
    summary = figure.get(side)
    return cell(summary, tone(name, summary) if side.startswith("change") else "")


def chosen(rows: list[Record]) -> list[Record]:
    """Clips worth a picture: those that physics mended most, the middle one, one that was rejected, and besides the
    longest part that was rescued of one."""
    simulated = [row for row in rows if row["id"] is not None and not is_part(row)]

    def gain(row: Record) -> float:
        before, after = row["before"].get(DECISIVE), row["after"].get(DECISIVE)
        return 0.0 if before is None or after is None else before - after

    accepted = sorted((row for row in simulated if row["verdict"] == "accepted"), key=gain, reverse=True)
    rejected = [row for row in simulated if row["verdict"] != "accepted"]
    picks = accepted[:2] + accepted[len(accepted) // 2 :][:1] + rejected[:1] + accepted[2:] + rejected[1:]
    unique = {row["name"]: row for row in picks}
    parts = sorted((row for row in rows if is_part(row)), key=lambda row: row["seconds"], reverse=True)
    return list(unique.values())[:SHOWN_CLIPS] + parts[: min(SHOWN_CLIPS, 1)]


def _show(row: Record, projected: Path) -> ShownClip:
    """Pictures, plots and video of one clip."""
    before = load_motion(projected / SOURCES / f"{row['name']}.npz")
    after = load_motion(projected / CLIPS / f"{row['name']}.npz")
    feet = [foot_states(clip, default_body()) for clip in (before, after)]
    strip = strip_bytes([before, after], LABELS, feet=feet)
    video = video_bytes([before, after], labels=LABELS, renderer="figure", feet=feet)
    plots = [Markup(plot) for plot in foot_plots(before, after)]
    return ShownClip(row, plots, data_uri("image/png", strip), data_uri(video.mime, video.data), video.renderer)


def _selection_rows(config: SelectionConfig) -> list[tuple[str, float]]:
    return [(f.name, getattr(config, f.name)) for f in fields(config)]


def _versions(rounds: list[RoundResult]) -> dict[str, str]:
    found: dict[str, str] = {}
    for result in rounds:
        for done in result.stages.values():
            found |= done.manifest["versions"]
    return found
