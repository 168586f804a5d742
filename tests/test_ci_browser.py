"""`.ci/browser`: what CI does for a browser must never fail it."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parent.parent / ".ci" / "browser"
NO_MIRROR = "echo 'W: Failed to fetch http://deb.debian.org: could not connect'; exit 100"


def run_beside(folder: Path, **programs: str) -> subprocess.CompletedProcess[str]:
    """The script where only these programs are, by name what they do, and those that it is written with."""
    for name in ("grep", "tail", "mktemp", "rm"):
        found = shutil.which(name)
        assert found is not None
        (folder / name).symlink_to(found)
    for name, does in programs.items():
        (folder / name).write_text(f"#!/bin/bash\n{does}\n")
        (folder / name).chmod(0o755)
    bash = shutil.which("bash")
    assert bash is not None
    return subprocess.run(
        [bash, SCRIPT], env=os.environ | {"PATH": str(folder)}, capture_output=True, text=True, timeout=120
    )


def test_the_browser_is_installed_where_there_is_none(tmp_path: Path):
    asked = tmp_path / "asked"
    done = run_beside(tmp_path, id="echo 0", **{"apt-get": f"echo $@ >> {asked}"})
    assert (done.returncode, done.stderr) == (0, "")
    assert [line.split()[-1] for line in asked.read_text().splitlines()] == ["update", "chromium"]


def test_nothing_is_installed_beside_a_browser(tmp_path: Path):
    done = run_beside(tmp_path, chromium="exit 9", id="echo 0", **{"apt-get": "exit 9"})
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("programs", "why"),
    [
        ({"id": "echo 0"}, "there is no apt-get here"),
        (
            {"id": "echo 0", "apt-get": NO_MIRROR},
            "apt-get: W: Failed to fetch http://deb.debian.org: could not connect",
        ),
        ({"id": "echo 1000", "apt-get": "exit 0"}, "apt-get needs root, and sudo does not let us"),
    ],
    ids=["no apt", "no mirror", "no root"],
)
def test_what_cannot_be_installed_is_one_line_and_no_failure(tmp_path: Path, programs: dict[str, str], why: str):
    done = run_beside(tmp_path, **programs)
    assert done.returncode == 0
    assert done.stderr == f"no chromium, the tests that need a browser are skipped: {why}\n"
