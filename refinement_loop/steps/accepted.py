"""What the stages of a round accepted, for those that go on from it."""

from __future__ import annotations

from pathlib import Path

from morphloop.motion import Clip, read_manifest

from ..records import CLIPS, load_motion
from ..stages import Finished
from .select import verdicts


def accepted_clips(projected: Path, selected: Path) -> list[Clip]:
    """What a select stage accepted of a project stage."""
    names = [verdict.name for verdict in verdicts(selected) if verdict.verdict == "accepted"]
    return [load_motion(projected / CLIPS / f"{name}.npz") for name in names]


def able(clips: list[Clip], robot: Finished) -> list[Clip]:
    """Those that the robot of a round was accepted with too; all of them where there was no robot."""
    if "skipped" in robot.manifest["notes"]:
        return clips
    names = {row["name"] for row in read_manifest(robot.folder) if row["verdict"] == "accepted"}
    return [clip for clip in clips if clip.name in names]
