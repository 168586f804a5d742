"""Mutation fuzzing of every reader: `python benchmarks/fuzz_readers.py [--count 2000] [--only FORMAT ...]`.

Damaged copies of small valid files are read in worker processes. A reader may take a file or refuse it with one line;
a fault is anything else: another exception, a message of several lines, more than 10 s of processor time, more than
2 GiB beyond what the process began with, a dead process, a motion with a number that is none. Mutation k of a format is
the same in every run of one seed. Then the files of `fuzz_hostile` are read. Exit code 1 if there was a fault; the
files at fault go to --keep.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
import zlib
from collections import Counter
from pathlib import Path

import numpy as np
from fuzz_hostile import make_hostile
from fuzz_mutations import mutate
from fuzz_seeds import Seed, make_seeds

from morphloop.base import MotionError
from morphloop.base.opening import UNFORESEEN
from morphloop.motion import Clip, JointTrack, read_motions
from morphloop.motion.readers.pickled import read_pickle

SECONDS = 10
HEADROOM = 2 << 30
STEM = "07_01"
FPS = 30.0
"""Given for hostile files that do not tell theirs."""


class _Hang(BaseException):
    """Raised by the alarm; no `except Exception` catches it."""


def mutated(seeds: dict[str, Seed], name: str, index: int, seed: int) -> bytes:
    """Mutation `index` of a format."""
    rng = np.random.default_rng([seed, zlib.crc32(name.encode()), index])
    return mutate(rng, seeds[name].data, seeds[name].suffix)


def try_one(seed: Seed, data: bytes, folder: Path) -> tuple[str, str]:
    """Write the file, read it: ("refused" | "accepted" | "fault", what was said)."""
    for name, content in seed.beside.items():
        (folder / name).write_bytes(content)
    path = folder / (("07" if seed.suffix == ".asf" else STEM) + seed.suffix)
    path.write_bytes(data)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        taken = seed.read(path)
        bad = _not_finite(taken)
        verdict = ("fault", f"accepted with {bad}") if bad else ("accepted", "")
    except MotionError as error:
        verdict = _judge(str(error))
    except _Hang:
        verdict = ("fault", f"more than {SECONDS} s")
    except Exception as error:  # any other exception is what is looked for
        verdict = ("fault", f"{type(error).__name__}: {str(error)[:200]}")
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    for made in folder.iterdir():
        made.unlink()
    return verdict


def _judge(message: str) -> tuple[str, str]:
    if "\n" in message:
        return "fault", f"a message of several lines: {message[:200]!r}"
    if UNFORESEEN in message:
        return "fault", message
    if "llocate" in message or "does not fit into memory" in message:
        return "fault", f"ran out of memory: {message[:200]}"
    return "refused", message


def _not_finite(taken: object) -> str:
    """What a reader took and should not have; empty if nothing. A rollout holds what physics did, be it NaN."""
    for motion in taken if isinstance(taken, list) else [taken]:
        if isinstance(motion, (Clip, JointTrack)):
            arrays = {"positions": motion.positions, "fps": np.array(motion.fps)}
        else:
            continue
        for key, array in arrays.items():
            if not np.isfinite(array).all():
                return f"{key} that are not finite"
    return ""


def try_hostile(path: Path, headroom: int = HEADROOM) -> tuple[str, str]:
    """`try_one` for a file of `fuzz_hostile`, with `headroom` bytes of memory."""
    signal.signal(signal.SIGPROF, _alarm)
    _limit_memory(headroom)
    smpl, fps = path.name.endswith(".smpl.pkl"), None if "rate" in path.name or "time" in path.name else FPS
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        taken = [read_pickle(path, smpl=True)] if smpl else [read() for _, read in read_motions(path, fps)]
        bad = _not_finite(taken)
        return ("fault", f"accepted with {bad}") if bad else ("accepted", "")
    except MotionError as error:
        return _judge(str(error))
    except _Hang:
        return "fault", f"more than {SECONDS} s"
    except Exception as error:
        return "fault", f"{type(error).__name__}: {str(error)[:200]}"
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


def hostile(headroom: int) -> dict[str, tuple[str, str]]:
    """Verdict and words of every file of `fuzz_hostile`, by name; in a process of its own, that a crash shows."""
    command = [sys.executable, __file__, "--hostile", str(headroom)]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    if done.returncode:
        raise RuntimeError(f"the process died ({done.returncode}) after {done.stdout[-200:]!r}: {done.stderr[-2000:]}")
    return json.loads(done.stdout)


def worker(names: list[str], first: int, count: int, seed: int) -> None:
    """Read mutations first .. first + count - 1 of each format and print a JSON line for each: before and after."""
    signal.signal(signal.SIGPROF, _alarm)
    np.seterr(all="ignore")
    with tempfile.TemporaryDirectory() as folder:
        seeds = make_seeds(Path(folder))
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            try_one(seeds[name], seeds[name].data, Path(folder))  # what is imported late is imported now
            for index in range(first, first + count):
                data = mutated(seeds, name, index, seed)
                print(json.dumps({"format": name, "index": index}), flush=True)
                _limit_memory()
                verdict, said = try_one(seeds[name], data, Path(folder))
                resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
                print(json.dumps({"format": name, "index": index, "verdict": verdict, "said": said}), flush=True)


def _alarm(*_: object) -> None:
    raise _Hang


def _limit_memory(headroom: int = HEADROOM) -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + headroom, resource.RLIM_INFINITY))


def run(name: str, count: int, seed: int) -> list[dict]:
    """All verdicts of one format; a worker that dies is a fault of what it was reading, and a new one goes on."""
    rows: list[dict] = []
    while len(rows) < count:
        command = [sys.executable, __file__, "--worker", name, str(len(rows)), str(count - len(rows)), str(seed)]
        environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        done = subprocess.run(command, capture_output=True, text=True, env=environment)
        said = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
        rows += [row for row in said if "verdict" in row]
        if done.returncode and (not said or "verdict" in said[-1]):
            raise RuntimeError(f"{name}: the worker failed outside a reader: {done.stderr[-2000:]}")
        if done.returncode:
            rows.append(said[-1] | {"verdict": "fault", "said": f"the process died ({done.returncode})"})
    return rows


def report(results: dict[str, list[dict]]) -> str:
    """The table: a row a format."""
    lines = ["| format | files | refused | accepted | faults |", "|---|---|---|---|---|"]
    total: Counter[str] = Counter()
    for name, rows in results.items():
        kinds = Counter(row["verdict"] for row in rows)
        total.update(kinds)
        lines.append(f"| {name} | {len(rows)} | {kinds['refused']} | {kinds['accepted']} | {kinds['fault']} |")
    all_ = sum(total.values())
    return "\n".join([*lines, f"| all | {all_} | {total['refused']} | {total['accepted']} | {total['fault']} |"])


def main() -> int:
    if sys.argv[1:2] == ["--worker"]:
        name, first, count, seed = sys.argv[2:]
        worker([name], int(first), int(count), int(seed))
        return 0
    if sys.argv[1:2] == ["--hostile"]:
        np.seterr(all="ignore")
        with tempfile.TemporaryDirectory() as folder:
            files = make_hostile(Path(folder))
            print(json.dumps({name: try_hostile(path, int(sys.argv[2])) for name, path in files.items()}))
        return 0
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--count", type=int, default=2000, help="mutations a format")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="*", help="formats; all if left out")
    parser.add_argument("--keep", type=Path, help="folder for the files at fault")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        seeds = make_seeds(Path(folder))
    results: dict[str, list[dict]] = {}
    for name in arguments.only or seeds:
        start = time.perf_counter()
        results[name] = run(name, arguments.count, arguments.seed)
        faults = [row for row in results[name] if row["verdict"] == "fault"]
        print(f"{name}: {time.perf_counter() - start:.0f} s, {len(faults)} faults", file=sys.stderr)
        for row in faults:
            print(f"  {row['index']}: {row['said']}", file=sys.stderr)
            if arguments.keep is not None:
                arguments.keep.mkdir(parents=True, exist_ok=True)
                kept = arguments.keep / f"{name.replace(' ', '_')}_{row['index']}{seeds[name].suffix}"
                kept.write_bytes(mutated(seeds, name, row["index"], arguments.seed))
    print(report(results))
    bad = {name: said for name, (verdict, said) in hostile(HEADROOM).items() if verdict == "fault"}
    for name, said in bad.items():
        print(f"hostile {name}: {said}", file=sys.stderr)
    return int(bool(bad) or any(row["verdict"] == "fault" for rows in results.values() for row in rows))


if __name__ == "__main__":
    sys.exit(main())
