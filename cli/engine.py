"""`--engine`: who does the clips of a command, this machine's processes or a Ray cluster."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from morphloop.base import MotionError


@dataclass(frozen=True, kw_only=True)
class EngineConfig:
    """Who does the clips."""

    engine: Literal["processes", "ray"] = "processes"
    """Who does the clips: processes of this machine, or a Ray cluster (`pip install 'morphloop[cluster]'`), with the
    same result."""
    ray_address: str | None = None
    """HOST:PORT of the head of a Ray cluster that this machine is in; without it --engine ray starts one on this
    machine."""

    @contextmanager
    def at_work(self, workers: int | None, merged: Sequence[Path], nothing: str | None = None) -> Iterator[None]:
        """What is shared out among workers inside is done by whoever was asked for.

        workers, merged: as --workers and --merge have them; nothing: why workers have nothing to do. MotionError as
        `ray_cluster`, and for flags that do not go together.
        """
        if self.ray_address is not None and self.engine != "ray":
            raise MotionError("--ray-address: of a Ray cluster, expected --engine ray with it")
        if self.engine != "ray" or merged:
            yield
            return
        if workers == 0:
            raise MotionError("--engine ray: expected --workers of 1 or more, or none")
        if nothing is not None:
            raise MotionError(f"--engine ray: {nothing}")
        from morphloop.base.ray_cluster import ray_cluster

        with ray_cluster(self.ray_address, workers):
            yield
