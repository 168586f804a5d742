"""Where morphloop keeps what can be made or fetched again: `MORPHLOOP_CACHE`, else the platform's folder for caches."""

from __future__ import annotations

import os
import sys
from pathlib import Path

VARIABLE = "MORPHLOOP_CACHE"


def cache_folder(part: str) -> Path:
    """The folder of one kind of cached things; it need not exist yet, and may be deleted at any time."""
    named = os.environ.get(VARIABLE)
    return (Path(named).expanduser() if named else _platform_folder() / "morphloop") / part


def _platform_folder() -> Path:
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
