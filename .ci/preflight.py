"""Says what this machine lacks before anything is installed. Standard library alone; runs on any Python 3."""

import importlib.util
import shutil
import sys

NEED = (3, 11)
SPACE_GB = 4


def main() -> int:
    missing = []
    if sys.version_info < NEED:
        have = ".".join(map(str, sys.version_info[:3]))
        missing.append(f"Python {NEED[0]}.{NEED[1]} or newer (this is {have}): run make PYTHON=/path/to/python3.11")
    if importlib.util.find_spec("venv") is None or importlib.util.find_spec("ensurepip") is None:
        missing.append("the venv module: on Debian and Ubuntu, apt-get install python3-venv")
    free = shutil.disk_usage(".").free / 1e9
    if free < SPACE_GB:
        missing.append(f"{SPACE_GB} GB of free disk (there are {free:.1f})")
    for line in missing:
        print("morphloop cannot be installed here, missing: " + line, file=sys.stderr)
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
