"""`morphloop project PATH...`: make motion physical; what the simulator did is the new clip."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import tyro
from rich.table import Column, Table

from morphloop.base import MotionError, write_json
from morphloop.base.shards import WHOLE, read_shard
from morphloop.base.terminal import Terminal, complain, say
from morphloop.base.threads import fixed_threads
from morphloop.imitator.projection.config import ProjectionConfig, RescueConfig
from morphloop.motion.config import ReadingConfig
from morphloop.motion.own_outputs import CONFIG, config_of, pass_over_own
from morphloop.refinement_loop.config import SelectionConfig
from morphloop.refinement_loop.timing import TIMING, read_timing

from .config import body_named
from .console import (
    BAD_INPUT,
    DONE,
    FAILED,
    files_below,
    one_line,
    policy_file,
    policy_named,
    progress_bars,
    writable_files,
    writable_folder,
)
from .engine import EngineConfig
from .estimates import estimate_json, print_estimate
from .exports import EXPORT, export_accepted, exporters

if TYPE_CHECKING:
    from morphloop.imitator import Policy
    from morphloop.motion import Clip, JointTrack
    from morphloop.sim import Body

REPORTED = (
    "slide_loaded_mm_s",
    "slide_mean_mm_s",
    "physdiff_phys_err_mm",
    "penetration_mean_mm",
    "unsupported_ratio",
)

WIDE, NARROW = 130, 2
"""Columns of a terminal from which all of these are shown, and how many a narrower one shows."""
FIGURE, ROOM = 17, 32
"""Columns of a pair of figures with its frame, and of what else stands in a row beside the name."""


@dataclass(frozen=True, kw_only=True)
class Project(ReadingConfig):
    """Track motion in physics and write what the simulator did, with a verdict for every clip.

    The policy goes first, the trajectory optimiser takes what it failed. Of a clip that is rejected the longest good
    segment of a second or more is kept as a clip of its own, NAME_rescued. Run it again to go on where it was
    interrupted. Exit code 1 if every clip was rejected, 2 if a file could not be read; the others are done anyway.
    """

    paths: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """Motion files, or folders of them; a file may hold many motions."""
    out: Path
    """Folder for projected clips, rollouts and manifest.jsonl."""
    body: str | None = None
    """Body to project on: a built-in one (`smpl`, `g1`, `g1_23dof`), a robot's MJCF (.xml, see `morphloop body check`),
    or a SMPL or SMPL-X model file, in its mean shape; `smpl` if left out."""
    source: Literal["robot"] | None = None
    """Whose motions the files hold: --from robot takes the robot's own alone, and refuses what it would have to
    retarget; if left out people's motions are retargeted, and that is said."""
    policy: str = "shipped"
    """File of the imitator, `shipped`, or `none`. None ships for a robot: there `shipped` means none, and says so."""
    workers: int | None = None
    """Processes that iLQR works in, a clip each; one a core if left out, 0 for this process alone."""
    cluster: Annotated[EngineConfig, tyro.conf.OmitArgPrefixes] = field(default_factory=EngineConfig)
    """Who does the clips."""
    shard: str | None = None
    """Project a part alone, such as 2/5: each of five machines gives its own and a folder of its own to --out; each
    reads all files, for names are given among all."""
    merge: tuple[Path, ...] = ()
    """Folders that all shards of this command made, each with the same flags: --out becomes what one machine would have
    made."""
    dry_run: bool = False
    """Print what it would take, in time and on the disk, by 20 seconds of doing it on a part of the clips; write
    nothing to --out."""
    to: str | None = None
    """Layouts of `convert --to`, with commas, in which accepted clips are written too, under OUT/export/LAYOUT with a
    manifest.jsonl, at the rate that their readers take for granted."""
    blend: float = 0.0
    """Seconds of a way from the body's stand to each clip and back, in what --to writes."""
    json: Path | None = None
    """Write the figures here."""
    projection: ProjectionConfig = field(default_factory=ProjectionConfig)
    """Policy, reference preprocessing and iLQR."""
    selection: SelectionConfig = field(default_factory=SelectionConfig)
    """What a clip must be to be accepted."""
    rescue: RescueConfig = field(default_factory=RescueConfig)
    """What is kept of a clip that is rejected."""

    SHORT: ClassVar[dict[str, str]] = {
        "from": "source",
        "projector": "projection.projector",
        "smooth": "projection.conditioning.smooth",
        "level_soles": "projection.conditioning.level_soles",
        "hold_feet": "projection.conditioning.hold_feet",
        "balance_reference": "projection.conditioning.balance",
        "rescue": "rescue.keep",
    }

    @fixed_threads()
    def run(self) -> int:
        from morphloop.imitator import load_policy
        from morphloop.motion import write_manifest
        from morphloop.motion.clip import RETARGETED
        from morphloop.refinement_loop import ProjectFolder, hash_rows, summaries
        from morphloop.sim import RobotBody, driven_body

        body = driven_body(self.body)
        if self.source == "robot" and not isinstance(body, RobotBody):
            raise MotionError(f"--from robot: body '{body.name}' is no robot, expected --body of the robot")
        policy_path = None if self.projection.projector == "optimiser" else policy_file(self.policy)
        if policy_path is not None and self.policy == "shipped" and isinstance(body, RobotBody):
            if self.projection.projector == "policy":
                raise MotionError(f"no policy ships for body '{body.name}', expected --policy FILE")
            complain(f"no policy ships for body '{body.name}': the trajectory optimiser tracks every clip")
            policy_path = None
        if sum(map(bool, (self.shard, self.merge, self.dry_run))) > 1:
            raise MotionError("--shard, --merge and --dry-run: expected one of them")
        if self.dry_run and self.cluster.engine == "ray":
            raise MotionError("--dry-run: tries this machine's processes, expected no --engine ray with it")
        if self.blend and self.to is None:
            raise MotionError("--blend: of what --to writes, expected --to LAYOUT")
        layouts = [] if self.to is None else exporters(self.to, body, self.blend)
        missing: list[dict[str, str]] = []
        files, own = pass_over_own(files_below(self.paths, missing), self.paths, self.out)
        for place in own:
            complain(f"{place}: passed over, morphloop wrote it")
        if not files and missing:
            return BAD_INPUT
        if not files:
            raise MotionError(f"{', '.join(map(str, self.paths))}: holds nothing but what morphloop wrote")
        writable_files(self.json)
        policy = None if policy_path is None else load_policy(policy_path, body)
        if self.dry_run:
            return self._estimate(list(files), body, policy)
        shard = WHOLE if self.shard is None else read_shard(self.shard)
        out = project_place(self.out)
        folder = ProjectFolder(out, body, policy, self.projection, self.selection, self.rescue)
        folder.sweep()
        with self.cluster.at_work(self.workers, self.merge, self._nothing_shared()), progress_bars() as watch:
            clips, joints, failed = read_all(
                files,
                ReadingConfig.of(self),
                body,
                lambda done: watch("read", done, len(files)),
                self.source == "robot",
            )
            if not clips:
                return report_failures(failed)
            moved = sum(clip.provenance.stage == RETARGETED for clip in clips)
            if moved and isinstance(body, RobotBody):
                complain(f"{moved} of {len(clips)} clips are people's: retargeted to '{body.name}' first")
            mine = shard.take(sorted(clips, key=lambda clip: clip.name))
            if self.merge:
                folder.take_over(mine, self.merge)
            write_json(out / CONFIG, folder.settings() | self._asked())
            rows, faults = folder.project(
                mine,
                lambda done, total: watch("project", done, total),
                joints,
                self.workers,
                lambda link: complain(f"{out}/{link}; its clip is done again"),
            )
        failed += [{"path": name, "reason": one_line(reason)} for name, reason in faults.items()]
        write_manifest(out, rows)
        failed += export_accepted(out, rows, layouts)
        if self.json is not None:
            seconds = read_timing(out, "clip")
            rows = [row | {"wall_s": seconds.get(row["name"])} for row in rows]
            table = {"schema": 1, "clips": rows, "rows": hash_rows(rows), "summary": summaries(rows)}
            write_json(self.json, table | {"failed": [*missing, *failed]})
        code = _finish(rows, failed, out)
        return BAD_INPUT if missing else code

    def _nothing_shared(self) -> str | None:
        """Why workers have nothing to do."""
        if self.projection.projector == "policy":
            return "the policy tracks all clips together in this process, expected another --projector, or --shard i/n"
        return None

    def _estimate(self, files: list[Path], body: Body, policy: Policy | None) -> int:
        """Print what the work would take; the exit code."""
        from random import Random

        from morphloop.refinement_loop import ProjectFolder
        from morphloop.refinement_loop.estimates.parts import SECONDS, Part
        from morphloop.refinement_loop.estimates.projection import READ_SHARE, estimate_projection

        check_project_place(self.out)
        folder = ProjectFolder(self.out, body, policy, self.projection, self.selection, self.rescue)
        drawn, began = Random(0).sample(files, len(files)), time.monotonic()
        until, seen = began + READ_SHARE * SECONDS, 0

        def count(done: int) -> None:
            nonlocal seen
            seen = done

        clips, _, failed = read_all(
            drawn, ReadingConfig.of(self), body, count, self.source == "robot", lambda: time.monotonic() < until
        )
        if not clips:
            return report_failures(failed)
        of = len(files) / seen
        read = Part("read", round(of * len(clips)), of * (time.monotonic() - began))
        left = [clip for clip in clips if folder.finished(clip) is None]
        if not left:
            say(f"{self.out}: all {len(clips)} clips are done" if seen == len(files) else f"{self.out}: is done so far")
            return DONE
        found = estimate_projection(left, folder, self.workers, of=of)
        found = replace(found, parts=(read, *found.parts))
        print_estimate(str(self.out), found, round(of * len(clips)), round(of * (len(clips) - len(left))))
        if self.json is not None:
            write_json(self.json, estimate_json(found))
        return report_failures(failed) if failed else DONE

    def _asked(self) -> dict[str, Any]:
        """What was asked for besides the rules, as `--config` takes it back."""
        return {
            "policy": policy_named(self.policy),
            "body": body_named(self.body),
            "source": self.source,
            "fps": self.fps,
            "to": self.to,
            "blend": self.blend,
        } | self.beyond_fps


def project_place(out: Path) -> Path:
    """A folder for projected clips, made if need be. MotionError if it holds somebody else's config.json, which ours
    would replace, or a link, a pipe or the like where files of ours go."""
    place = writable_folder(out)
    check_project_place(place)
    return place


def check_project_place(out: Path) -> None:
    """MotionError as `project_place`, for a folder that need not be there; nothing is written."""
    from morphloop.refinement_loop.project_folder import FOLDERS

    place, had = out, config_of(out)
    if (place / CONFIG).exists() and (had is None or "rounds" in had):
        what = "a run of the loop" if had else f"a {CONFIG} that is not of `morphloop project`"
        raise MotionError(f"{out}: holds {what}, expected a folder of its own")
    files = (CONFIG, "manifest.jsonl", TIMING)
    for names, kind, fits in ((files, "file", Path.is_file), ((*FOLDERS, EXPORT), "folder", Path.is_dir)):
        for path in (place / name for name in names):
            if path.is_symlink() or (path.exists() and not fits(path)):
                what = "is a link" if path.is_symlink() else f"is no {kind}"
                raise MotionError(f"{path}: {what}, expected a {kind} of morphloop's own there")


def read_all(
    files: Sequence[Path],
    how: ReadingConfig,
    body: Body,
    tick: Callable[[int], None],
    robots_own: bool = False,
    go_on: Callable[[], bool] = lambda: True,
) -> tuple[list[Clip], dict[str, JointTrack], list[dict[str, str]]]:
    """Clips for a body to track, over the ground of their files, each with a name of its own; by name what was read
    as joint positions; and what could not be read with reasons. What looks wrong is said. robots_own: nothing is
    retargeted, what is not the robot's own motion could not be read; go_on: asked after each file."""
    from morphloop.base.names import file_name, free_name
    from morphloop.base.opening import naming, reading
    from morphloop.imitator.projection.rescue import SUFFIX
    from morphloop.motion import Clip, JointTrack, read_motions
    from morphloop.motion.plausible import Doubt, doubts, gathered
    from morphloop.sim import for_tracking, robot_of, whose_motions

    clips: list[Clip] = []
    joints: dict[str, JointTrack] = {}
    failed: list[dict[str, str]] = []
    taken: set[str] = set()
    looks: list[tuple[str, Doubt]] = []
    robot = robot_of(body)
    for done, path in enumerate(files, 1):
        for key, read in read_motions(path, None, whose_motions(body), how):
            try:
                with reading(path):
                    motion = read()
                    looks += [(f"{path}", doubt) for doubt in doubts(motion, robot)]
                    if robots_own and not (isinstance(motion, Clip) and motion.skeleton == body.skeleton):
                        raise MotionError(f"not a motion of robot '{body.name}', leave out --from robot to retarget it")
                    clip = for_tracking(motion, body)
            except MotionError as error:
                failed.append({"path": str(path), "reason": naming(path, error)})
                continue
            # what is rescued of a clip must not take another's name
            name = free_name(file_name(key), taken, SUFFIX)
            taken |= {name, name + SUFFIX}
            clips.append(replace(clip, name=name))
            if isinstance(motion, JointTrack) and robot is None:
                joints[name] = motion
        tick(done)
        if not go_on():
            break
    for line in gathered(looks):
        complain(line)
    return clips, joints, failed


def report_failures(failed: list[dict[str, str]]) -> int:
    """One line on stderr for every file that could not be used; the exit code of bad input."""
    for failure in failed:
        complain(failure["reason"])
    return BAD_INPUT


def _finish(rows: list[dict[str, Any]], failed: list[dict[str, str]], out: Path) -> int:
    from morphloop.metrics.report.names import distinct, in_lines

    terminal = Terminal()
    shown = REPORTED[:NARROW] if terminal.width < WIDE else REPORTED
    room = terminal.width - ROOM - FIGURE * len(shown)
    wide = FIGURE - 3
    headings = [Column(f"{in_lines(name, wide)}\nbefore > after", width=wide, overflow="fold") for name in shown]
    table = Table(Column("clip", no_wrap=True), Column("verdict", min_width=12), "by", *headings, title=str(out))
    for row, name in zip(rows, distinct([row["name"] for row in rows], room), strict=True):
        figures = (f"{_figure(row['before'].get(n))} > {_figure(row['after'].get(n))}" for n in shown)
        verdict = row["verdict"] if row["reason"] is None else f"{row['verdict']}: {row['reason']}"
        table.add_row(name, verdict, row["projector"], *figures)
    terminal.print(table)
    for row in rows:
        if row["reason"] is not None:
            terminal.print(f"{row['name']}: {row['reason']}, {row['detail']}", style="dim", highlight=False)
        elif row.get("margins"):
            terminal.print(f"{row['name']}: hard on a robot, {row['margins']}", style="dim", highlight=False)
    if failed:
        return report_failures(failed)
    return DONE if not rows or any(row["verdict"] in ("accepted", "rescued") for row in rows) else FAILED


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"
