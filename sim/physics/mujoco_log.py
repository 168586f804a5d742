"""MuJoCo's own warnings go to Python's log: by itself it prints them, without the name of a clip, and appends them to
MUJOCO_LOG.TXT in whatever folder the command was started in. What became of a simulation that diverged its
clip's verdict says.
"""

from __future__ import annotations

import logging

import mujoco

log = logging.getLogger("morphloop.sim")


def warnings_to_log() -> None:
    """Hand MuJoCo's warnings to the log for this process, unless somebody hears them already."""
    if mujoco.get_mju_user_warning() is None:
        mujoco.set_mju_user_warning(_to_log)


def _to_log(text: str) -> None:
    log.debug("MuJoCo: %s", text)
