"""How files are read where they do not say, or say it wrongly: options that every command which reads shares."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any, Literal

Units = Literal["m", "cm", "mm", "inch", "deg", "cm,deg", "mm,deg"]
METRES = {"m": 1.0, "cm": 0.01, "mm": 0.001, "inch": 0.0254}


@dataclass(frozen=True)
class ReadingConfig:
    """What the user says about files."""

    fps: float | None = None
    """Frame rate of files that cannot tell theirs."""
    overrule_fps: bool = False
    """Take --fps where a file says another rate, too."""
    up: Literal["x", "y", "z", "-x", "-y", "-z"] | None = None
    """The axis of the files that points up, where it is not the one of their format; downward ones as --up=-y."""
    quat: Literal["wxyz", "xyzw"] | None = None
    """Order of the quaternions in the files, where it is not the one of their format, or open."""
    units: Units | None = None
    """Units of the files, where they are not those of their format: of lengths, of angles (deg), or of both."""
    joint_map: str | None = None
    """File that says which joints a BVH of unknown names has, a line each: `left_knee: LeftLeg`, ours first."""

    @property
    def length_unit(self) -> str | None:
        """The unit of lengths that was said, None where none was."""
        first = (self.units or "").partition(",")[0]
        return first if first in METRES else None

    @property
    def metres(self) -> float:
        """Metres in a length of the files, as far as that was said."""
        return METRES[self.length_unit or "m"]

    @property
    def radians(self) -> float:
        """Radians in an angle of the files, as far as that was said."""
        return math.pi / 180.0 if self.units is not None and self.units.endswith("deg") else 1.0

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
