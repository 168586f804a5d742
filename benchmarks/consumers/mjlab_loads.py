"""`python benchmarks/consumers/mjlab_loads.py MOTION.npz...`: our mjlab files through mjlab's own code.

Makes an environment of its own (`--env`, kept for the next run) with mjlab from PyPI and the MuJoCo that it pins, older
than ours; what mjlab shares with this environment, torch first of all, is borrowed from here. In it `inside_mjlab.py`
loads each file with mjlab's MotionLoader, compares every body's place, turn and velocities with those of mjlab's own
G1, and steps mjlab's tracking task on the CPU. The first run compiles mjlab's kernels, some three minutes on two cores.

Not checked: training, mjlab on a GPU, robots other than the G1.
"""

from __future__ import annotations

import argparse
import json
import site
import subprocess
import sys
import tempfile
import venv
from pathlib import Path
from typing import Any

MJLAB = "1.6.0"
ALONE = (f"mjlab=={MJLAB}", "mujoco~=3.11.0", "mujoco-warp~=3.11.0", "mjviser", "mediapy", "prettytable", "torchrunx")
"""Installed without what they need: that is borrowed, or among `WHOLE`."""
WHOLE = ("trimesh", "viser", "wandb")
INSIDE = Path(__file__).with_name("inside_mjlab.py")


def environment(folder: Path) -> Path:
    """The environment's Python, made unless it is there."""
    python = folder / "bin" / "python"
    if (folder / "made").exists():
        return python
    venv.create(folder, with_pip=True, clear=True)
    inner = next(folder.glob("lib/python*/site-packages"))
    (inner / "borrowed.pth").write_text("\n".join(site.getsitepackages()) + "\n")
    pip = [str(python), "-m", "pip", "install", "--quiet"]
    subprocess.run([*pip, "--no-deps", *ALONE], check=True)
    subprocess.run([*pip, *WHOLE], check=True)
    (folder / "made").touch()
    return python


def checked(python: Path, motion: Path, steps: int, seconds: float) -> dict[str, Any]:
    """What mjlab says of a file; under "failed" why it said less."""
    command = [str(python), str(INSIDE), str(motion), "--steps", str(steps)]
    found: dict[str, Any] = {"file": str(motion)}
    try:
        run = subprocess.run(command, capture_output=True, text=True, timeout=seconds)
        text, failed = run.stdout, run.stderr.strip().splitlines()[-1:] if run.returncode else []
    except subprocess.TimeoutExpired as late:
        text = late.stdout.decode() if isinstance(late.stdout, bytes) else late.stdout or ""
        failed = [f"not done after {seconds:g} s"]
    for line in text.splitlines():
        if line.startswith("{"):
            found |= json.loads(line)
    return found | ({"failed": failed[0]} if failed else {})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("motions", nargs="+", type=Path)
    parser.add_argument("--env", type=Path, default=Path(tempfile.gettempdir()) / f"morphloop-mjlab-{MJLAB}")
    parser.add_argument("--steps", type=int, default=100, help="control steps of the tracking task, 0 for none")
    parser.add_argument("--seconds", type=float, default=600.0, help="most that a file may take")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    python = environment(args.env)
    rows = [checked(python, motion, args.steps, args.seconds) for motion in args.motions]
    for row in rows:
        print(json.dumps(row, indent=2))
    if args.json is not None:
        args.json.write_text(json.dumps(rows, indent=2) + "\n")
    sys.exit(any("failed" in row for row in rows))


if __name__ == "__main__":
    main()
