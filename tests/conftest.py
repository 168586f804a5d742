"""What all tests share."""

import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest


@pytest.fixture(autouse=True, scope="session")
def no_waiting_for_the_disk() -> Iterator[None]:
    """What tests write need not outlive a power cut: to flush each file to a busy disk takes up to half a second."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda handle: None)
        yield


@pytest.fixture
def made_row() -> Callable[..., Any]:
    """Makes a row of the imitator's bench from the figures that a test sets."""
    from morphloop.imitator.bench.bench import PHYSICS

    def made(success: float, skill: float, error: float, slide: float | None, projector: str = "policy") -> Any:
        after = {name: 0.0 for name in PHYSICS} | {"slide_mean_mm_s": slide, "physdiff_skate_mm": 0.4}
        tracking = {
            "success": success,
            "success_strict": 0.0,
            "skill": skill,
            "e_mpjpe_mm": error,
            "e_g_mpjpe_mm": error,
        }
        return {
            "tracking": tracking,
            "after": after,
            "reached": 1.0,
            "projector": projector,
            "wall_s": 6.0,
            "seconds": 3.0,
        }

    return made
