"""What `convert` and `project` do alike to write motions for others: rate, way to the stand, contacts, manifest."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from morphloop.base import MotionError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from morphloop.motion import Clip, JointTrack
    from morphloop.motion.robot import Robot
    from morphloop.motion.writers import FootContact
    from morphloop.sim import Body

    Motion = Clip | JointTrack

MANIFEST = "manifest.jsonl"


@dataclass(frozen=True)
class Exporter:
    """Motions in one layout. to: its name; body: whose motions they are, None for a person's; fps: rate to write, the
    layout's or the motion's own if None; blend: seconds of a way from the stand and back. MotionError for a layout that
    cannot hold them."""

    to: str
    body: Body | None = None
    fps: float | None = None
    blend: float = 0.0

    def __post_init__(self) -> None:
        from morphloop.motion import FORMATS, check_layout

        check_layout(self.to, self.robot)
        if self.blend and FORMATS[self.to].skeleton == "joints":
            raise MotionError(f"--blend and layout '{self.to}': it holds joint positions, expected one with rotations")

    @property
    def robot(self) -> Robot | None:
        from morphloop.sim import robot_of

        return None if self.body is None else robot_of(self.body)

    def made(self, motion: Motion, stands: np.ndarray | None = None) -> tuple[Motion, FootContact | None]:
        """The motion as the layout needs it, blended, and when its feet stand, where the layout can hold that.

        stands: (T, 2) bool as the simulator saw it, at the motion's rate; found from the soles' height and speed if
        None, and on the way from and to the stand.
        """
        from morphloop.motion import FORMATS, Clip, as_format
        from morphloop.sim import blended

        made = as_format(motion, self.to, self.fps, self.robot)
        if not isinstance(made, Clip) or not (self.blend or FORMATS[self.to].contact):
            return made, None
        body, whole = self._body(), made
        if self.blend:
            if made.skeleton != body.skeleton:
                raise MotionError(f"{motion.name}: --blend needs the skeleton of body '{body.name}', retarget it first")
            whole = blended(made, body, self.blend)
        known = made.skeleton == body.skeleton or stands is not None
        return whole, _contact(whole, made, body, stands, motion.fps) if FORMATS[self.to].contact and known else None

    def write(
        self, path: Path, motion: Motion, contact: FootContact | None, said: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """Write what `made` gave; its row of the manifest. said: what is known of it besides, such as its verdict."""
        from morphloop.motion import FORMATS, write_motion

        robot, notes = self.robot, motion.provenance.notes
        write_motion(path, motion, self.to, robot, contact)
        row: dict[str, Any] = {
            "name": path.stem,
            "file": path.name,
            "format": self.to,
            "fps": motion.fps,
            "frames": motion.num_frames,
            "interpolated_from_fps": notes.get("interpolated_from_fps"),
            "blended_s": notes.get("blended_s", 0.0),
        }
        if robot is not None and "names" not in FORMATS[self.to].carries:
            row |= {"joint_names": list(robot.hinge_names), "body_names": list(robot.skeleton.names)}
        return row | (_known(motion) if said is None else said)

    def _body(self) -> Body:
        from morphloop.sim import default_body

        return self.body or default_body()


EXPORT = "export"
"""Folder of `project` below which each layout has a folder of its own."""


def exporters(named: str, body: Body, blend: float) -> list[Exporter]:
    """One for each layout of a list with commas; MotionError for one that is named twice or cannot hold the motions."""
    names = [name.strip() for name in named.split(",")]
    if len(set(names)) < len(names):
        raise MotionError(f"--to {named}: a layout twice, expected each once")
    return [Exporter(name, body, blend=blend) for name in names]


def export_accepted(out: Path, rows: Iterable[dict[str, Any]], made: Iterable[Exporter]) -> list[dict[str, str]]:
    """Write what was accepted of a projected folder in each layout under OUT/export/LAYOUT, with a manifest there, and
    take away what an earlier run wrote of others; what could not be written, with reasons."""
    from morphloop.motion import FORMATS, load_rollout, read_manifest, write_manifest
    from morphloop.refinement_loop.records import CLIPS, ROLLOUTS, load_motion

    accepted, failed = [row for row in rows if row["verdict"] == "accepted"], []
    for exporter in made:
        folder, written = out / EXPORT / exporter.to, []
        folder.mkdir(parents=True, exist_ok=True)
        had = read_manifest(folder) if (folder / MANIFEST).is_file() else []
        for row in accepted:
            name = row["name"]
            try:
                stands = load_rollout(out / ROLLOUTS / f"{name}.npz").foot_contact
                clip, contact = exporter.made(load_motion(out / CLIPS / f"{name}.npz"), stands)
                path = folder / f"{name}{FORMATS[exporter.to].suffix}"
                written.append(exporter.write(path, clip, contact, _of_record(row)))
            except MotionError as error:
                failed.append({"path": name, "reason": f"{name} as {exporter.to}: {error}"})
        for stale in {row.get("file") for row in had} - {row["file"] for row in written}:
            if isinstance(stale, str) and Path(stale).name == stale:
                (folder / stale).unlink(missing_ok=True)
        write_manifest(folder, written)
    return failed


def _of_record(row: dict[str, Any]) -> dict[str, Any]:
    """What the record of a projected clip says of it, for those who train on it; the record itself by its hash."""
    told = {name: row[name] for name in ("id", "prompt", "texts", "verdict", "reason", "before", "tracking")}
    return told | {"metrics": row["after"], "certificate": row["certificate"], "record": row["hash"]}


def write_rows(folder: Path, rows: Iterable[dict[str, Any]]) -> None:
    """The manifest beside exported files: these rows, and those of other files that are there already."""
    from morphloop.motion import read_manifest, write_manifest

    rows = list(rows)
    written = {row["file"] for row in rows}
    if not rows:
        return
    had = read_manifest(folder) if (folder / MANIFEST).is_file() else []
    write_manifest(folder, [row for row in had if row.get("file") not in written] + rows)


def _contact(whole: Clip, part: Clip, body: Body, stands: np.ndarray | None, fps: float) -> FootContact:
    """When the feet of a clip stand: as the simulator saw it in the part that it drove, by the soles elsewhere.

    A body of another shape than the clip's, as of a SMPL model file, tells what the feet are, not where the soles are.
    """
    from morphloop.motion.writers import FootContact
    from morphloop.sim import planted_feet

    surface, names = body.surface, body.skeleton.names
    parts = tuple(tuple(names[j] for j in sorted(set(surface.joint[surface.foot == side]))) for side in (0, 1))
    feet = (parts[0], parts[1])
    seen = None if stands is None else FootContact(stands, feet).resampled(fps, part.num_frames, part.fps)
    if seen is not None and whole is part:
        return seen
    masks = planted_feet(whole, body)
    if seen is not None:
        before = (whole.num_frames - part.num_frames) // 2
        masks[before : before + part.num_frames] = seen.stands
    return FootContact(masks, feet)


def _known(motion: Motion) -> dict[str, Any]:
    """What a motion says of itself: where it is from, verdict and metrics; nobody certified its file."""
    said = motion.provenance
    return {
        "id": motion.id,
        "source": said.source,
        "prompt": said.prompt,
        "texts": list(motion.texts),
        "verdict": said.verdict,
        "reason": said.reason,
        "metrics": said.metrics,
        "certificate": None,
    }
