"""Rows of a batch of any size: each row's JSON lies in a temporary file, only its figures stay in memory.

Rows come in the order in which workers finish them and are read in the order of their keys, so that a result does not
depend on how many workers there were.
"""

from __future__ import annotations

import json
import tempfile
from array import array
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

Row = dict[str, Any]
SIDES = ("metrics", "before", "frozen")
"""The groups of figures a row may have: the clip's own, those of the motion it was made from, and those of the control
that holds its first pose."""
MOST_CLIPS = 1 << 24
"""Clips in one file that a key tells apart."""


class Columns:
    """Figures by metric name, 8 bytes each, NaN where a row has none; aligned to the rows of one variant."""

    def __init__(self) -> None:
        self.length = 0
        self._values: dict[str, array[float]] = {}

    def add(self, figures: Mapping[str, float | None]) -> None:
        """One row more; a name that was not seen before is NaN in the rows before."""
        for name in figures:
            if name not in self._values:
                self._values[name] = array("d", [np.nan]) * self.length
        for name, column in self._values.items():
            value = figures.get(name)
            column.append(np.nan if value is None else value)
        self.length += 1

    @property
    def names(self) -> list[str]:
        return list(self._values)

    def items(self) -> list[tuple[str, array[float]]]:
        """Figures by name in the order in which rows came, NaN for null."""
        return list(self._values.items())

    def column(self, name: str) -> np.ndarray:
        """(N,) figures in the order in which rows came; all NaN for a name that no row has."""
        return np.array(self._values[name]) if name in self._values else np.full(self.length, np.nan)


class Variant:
    """The rows of one variant: where each lies in the spool, and its figures."""

    def __init__(self) -> None:
        self.keys, self.offsets = array("q"), array("q")
        self.sides = {side: Columns() for side in SIDES}
        self.frames = self.seconds = 0.0

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def order(self) -> np.ndarray:
        """(N,) places of the rows in the order of their keys."""
        return np.argsort(np.array(self.keys, dtype=np.int64), kind="stable")

    def names(self, side: str = "metrics") -> list[str]:
        """Metric names that some row of this side has, in the order in which they were first seen."""
        return self.sides[side].names

    def column(self, name: str, side: str = "metrics") -> np.ndarray:
        """(N,) figures of one metric in the order of the keys, NaN for null."""
        return self.sides[side].column(name)[self.order]


class Spool:
    """Rows in a temporary file that the system removes when this object goes. Rows are added, then read."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile(prefix="morphloop-evaluate-")  # noqa: SIM115  # lives as long as the spool
        self.variants: dict[str, Variant] = {}

    def __len__(self) -> int:
        return sum(len(variant) for variant in self.variants.values())

    def add(self, file: int, clip: int, row: Row, frozen: Mapping[str, float | None] | None) -> None:
        """Keep a row under the number of its file and of the clip within it; `frozen` are its control's figures."""
        variant = self.variants.setdefault(row["variant"], Variant())
        variant.keys.append(file * MOST_CLIPS + clip)
        variant.offsets.append(self._file.seek(0, 2))
        self._file.write(json.dumps(row, allow_nan=False).encode() + b"\n")
        for side, figures in (("metrics", row["metrics"]), ("before", row.get("before")), ("frozen", frozen)):
            variant.sides[side].add(figures or {})
        variant.frames += row["frames"]
        variant.seconds += row["frames"] / row["fps"]

    def lines(self) -> Iterator[bytes]:
        """The JSON text of every row, all variants together, in the order of their keys."""
        keys = np.concatenate([np.array(v.keys, np.int64) for v in self.variants.values()] or [np.zeros(0, np.int64)])
        offsets = np.concatenate(
            [np.array(v.offsets, np.int64) for v in self.variants.values()] or [np.zeros(0, np.int64)]
        )
        for offset in offsets[np.argsort(keys, kind="stable")]:
            yield self._line(int(offset))

    def frozen(self) -> Iterator[tuple[int, Row | None]]:
        """Key and figures of the control of every row, None for a row without, in the order of `lines`."""
        found = [
            (key, {name: column[place] for name, column in held.sides["frozen"].items()})
            for held in self.variants.values()
            for place, key in enumerate(held.keys)
        ]
        for key, figures in sorted(found, key=lambda pair: pair[0]):
            known = {name: None if np.isnan(value) else value for name, value in figures.items()}
            yield key, known if any(value is not None for value in known.values()) else None

    def rows(self, variant: str, places: np.ndarray | None = None) -> Iterator[Row]:
        """Rows of a variant in the order of their keys, or those at these places of that order."""
        held = self.variants[variant]
        order = held.order if places is None else held.order[places]
        for place in order:
            yield json.loads(self._line(held.offsets[place]))

    def _line(self, offset: int) -> bytes:
        self._file.seek(offset)
        return self._file.readline().rstrip(b"\n")
