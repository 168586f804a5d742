"""`morphloop/Tracking-v0` for Gymnasium, without importing it: those who only read a configuration of the task do not
pay for it, and whoever imports it before or after `morphloop.envs` finds the task registered."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType

GYMNASIUM = "gymnasium"


def register() -> None:
    """Register the task with Gymnasium now if that is imported already, else as soon as it is."""
    if GYMNASIUM in sys.modules:
        _register(sys.modules[GYMNASIUM])
    else:
        sys.meta_path.insert(0, _OnImport())


def _register(gymnasium: ModuleType) -> None:
    gymnasium.register(
        id="morphloop/Tracking-v0",
        entry_point="morphloop.envs.gym_adapter:TrackingGymEnv",
        vector_entry_point="morphloop.envs.gym_adapter:TrackingVectorEnv",
    )


class _OnImport(MetaPathFinder):
    """Finds Gymnasium where Python does, and has the task registered when it is loaded; who only asks whether it is
    there changes nothing."""

    def __init__(self) -> None:
        self.looking = False

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != GYMNASIUM or self.looking:
            return None
        self.looking = True
        try:
            spec = find_spec(fullname)
        finally:
            self.looking = False
        if spec is None or spec.loader is None:
            return spec
        load = spec.loader.exec_module

        def load_and_register(module: ModuleType) -> None:
            load(module)
            if self in sys.meta_path:
                sys.meta_path.remove(self)
            _register(module)

        spec.loader.exec_module = load_and_register
        return spec
