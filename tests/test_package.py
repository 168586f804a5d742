"""What the package says of itself to an installer."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

HOUSE = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((HOUSE / "pyproject.toml").read_text())["project"]
FOLDERS = ("base", "motion", "sim", "metrics", "envs", "imitator", "generator", "refinement_loop", "cli")
CARRIED = {"markupsafe": "jinja2", "tensordict": "rsl-rl-lib"}
"""Distributions that another one cannot be without."""


def plain(name: str) -> str:
    """A distribution's name as pip compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def declared() -> set[str]:
    """Distributions that are asked for, those of the extras too."""
    extras = PROJECT["optional-dependencies"]
    asked = PROJECT["dependencies"] + [one for name in ("gpu", "train", "viewer") for one in extras[name]]
    return {plain(re.match(r"[\w.-]+", one).group()) for one in asked}  # type: ignore[union-attr]


def imported() -> Iterator[tuple[str, Path]]:
    """Top-level modules from outside that a file of the package imports."""
    for path in (path for folder in FOLDERS for path in (HOUSE / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                names = [node.module]
            tops = {name.partition(".")[0] for name in names} - sys.stdlib_module_names - {"morphloop"}
            yield from ((top, path.relative_to(HOUSE)) for top in tops)


def test_whatever_is_imported_is_asked_for():
    owners, asked = packages_distributions(), declared()
    found = list(imported())
    assert len(found) > 100
    lacking = {
        f"{module} ({path})"
        for module, path in found
        if not {CARRIED.get(plain(name), plain(name)) for name in owners.get(module, [module])} & asked
    }
    assert not lacking
