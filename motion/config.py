"""How files are read where they do not say, or say it wrongly: options that every command which reads shares."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Literal


@dataclass(frozen=True)
class ReadingConfig:
    """What the user says about files."""

    fps: float | None = None
    """Frame rate of files that cannot tell theirs."""
    overrule_fps: bool = False
    """Take --fps where a file says another rate, too."""
    up: Literal["x", "y", "z", "-x", "-y", "-z"] | None = None
    """The axis of the files that points up, where it is not the one of their format; downward ones as --up=-y."""

    @classmethod
    def of(cls, options: ReadingConfig) -> ReadingConfig:
        """These options alone, of a command or a configuration that has them among others."""
        return cls(options.fps, **options.beyond_fps)

    @property
    def beyond_fps(self) -> dict[str, Any]:
        """Options besides the rate that say something, by name: what a result rests on where they do."""
        said = {field.name: getattr(self, field.name) for field in fields(ReadingConfig)}
        return {name: value for name, value in said.items() if name != "fps" and value != getattr(AS_FILES_SAY, name)}


AS_FILES_SAY = ReadingConfig()
"""Nothing is said: files are read as their formats are."""
