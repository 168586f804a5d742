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
        if not FORMATS[self.to].contact or made.skeleton != body.skeleton:
            return whole, None
        return whole, _contact(whole, made, body, stands, motion.fps)

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
    """When the feet of a clip stand: as the simulator saw it in the part that it drove, by the soles elsewhere."""
    from morphloop.motion.writers import FootContact
    from morphloop.sim import planted_feet

    surface, names = body.surface, body.skeleton.names
    parts = tuple(tuple(names[j] for j in sorted(set(surface.joint[surface.foot == side]))) for side in (0, 1))
    found = FootContact(planted_feet(whole, body), (parts[0], parts[1]))
    if stands is None:
        return found
    seen = FootContact(stands, found.parts).resampled(fps, part.num_frames, part.fps)
    masks, before = found.stands.copy(), (whole.num_frames - part.num_frames) // 2
    masks[before : before + part.num_frames] = seen.stands
    return FootContact(masks, found.parts)


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
