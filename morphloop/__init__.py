"""morphloop: one loop that makes humanoid motion physical, each arc of it usable alone.

    import morphloop as ml

    clips = ml.load("walk.bvh")
    physical = ml.project(clips, body="g1")
    print(ml.evaluate(physical))
    ml.render(physical, "walk.mp4")

These, `ml.generate`, `ml.body` and `ml.policy` stand in `api.py` and are loaded when they are asked for:
to import this loads nothing else. The parts are `morphloop.language`, `.motion`, `.sim`, `.metrics`, `.envs`,
`.imitator`, `.generator`, `.refinement_loop` and `.cli`. Their files stand in top-level folders of a checkout; links
beside this file lead there, for editors, type checkers and whoever runs python in the checkout. A wheel holds the
folders themselves.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .api import MotionError, Scores, body, evaluate, generate, load, policy, project, render

__all__ = [
    "MotionError",
    "Scores",
    "__version__",
    "body",
    "evaluate",
    "generate",
    "load",
    "policy",
    "project",
    "render",
]

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.api"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
