"""Generators from outside: a command that makes clips, and those that Python packages offer.

A command is somebody's repository behind a script. It reads prompts as JSON lines and writes clips in any layout that
morphloop reads; what it made counts, what is missing or cannot be read is named. What fine-tuning leaves is a folder,
the command's own affair: its next call is told where that is.
"""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, replace
from functools import cached_property
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import IO

import numpy as np

from morphloop.base import MotionError, write_json
from morphloop.base.names import file_name, free_name, shown
from morphloop.base.opening import in_one_line, naming, reading
from morphloop.base.plugins import GENERATORS, load, offered
from morphloop.base.still_valid import hash_json
from morphloop.base.weights import read_config
from morphloop.base.writing import write_atomic
from morphloop.motion import Clip, find_motions, read_motions, save_clip, to_default
from morphloop.motion.config import AS_FILES_SAY, ReadingConfig
from morphloop.motion.reading_limits import MAX_TEXT

from .config import FROM_OUTSIDE, SECONDS, FinetuneConfig, OutsideConfig, Seconds
from .protocol import FinetuneReport, Generator

COMMAND_KIND, PACKAGE_KIND = "morphloop.command", "morphloop.package"
PROMPTS, OUT, STATE = "{prompts}", "{out}", "{state}"
ACCEPTED, REPLAY, NEW_STATE = "{accepted}", "{replay}", "{new_state}"
STATE_FOLDER, INNER = "state", "generator"
NAMED = 20
"""Missing clips that are named one by one."""


class CommandFailed(MotionError):
    """A command did not do what it was called for: it took too long, ended with an error, or left nothing."""


def is_command(spec: Path | str) -> bool:
    """Whether what `--generator` says is a command and no folder."""
    return PROMPTS in str(spec) or OUT in str(spec)


class CommandGenerator:
    """A command that is run for every batch of prompts.

    command: words with `{prompts}`, `{out}` and, where it can be tuned, `{state}` among them; outside: how it is run;
    how: what is said about the files that it writes. After `generate`, `failed` names what did not come, by prompt,
    file or "command". Raises MotionError for a command that cannot be run.
    """

    report: FinetuneReport | None = None

    def __init__(self, command: str, outside: OutsideConfig = FROM_OUTSIDE, how: ReadingConfig = AS_FILES_SAY) -> None:
        self.command, self.outside, self.how = command, outside, how
        self.folder = Path(outside.folder or Path.cwd())
        self.can_finetune = outside.finetune_command is not None
        self.failed: dict[str, str] = {}
        self._words = _words(command, self.folder)
        for mark in (PROMPTS, OUT):
            if mark not in command:
                raise MotionError(f"--generator: command '{command[:60]}' has no {mark}, expected it among its words")
        self._held: tempfile.TemporaryDirectory[str] | None = None
        if outside.finetune_command is not None:
            self._tuning = _words(outside.finetune_command, self.folder)
            for mark in (ACCEPTED, NEW_STATE):
                if mark not in outside.finetune_command:
                    raise MotionError(f"--finetune-command: has no {mark}, expected it among its words")
            if STATE not in command:
                raise MotionError(f"--generator: has no {STATE}, so it would not see what --finetune-command leaves")
        if outside.state is not None and not Path(outside.state).is_dir():
            raise MotionError(f"{outside.state}: no such folder, expected the state that a fine-tuning left")

    def generate(self, prompts: Sequence[str], seed: int, seconds: Seconds = SECONDS) -> list[Clip]:
        """The clips that came, in the order of their prompts: fewer than asked for where `failed` says so.

        Whether the same seed gives the same bytes is the command's affair. MotionError if no usable clip came.
        """
        rows = [
            {"id": f"{place:05d}", "prompt": prompt, "seed": _own_seed(seed, place), "seconds": list(seconds)}
            for place, prompt in enumerate(prompts)
        ]
        with tempfile.TemporaryDirectory(prefix="morphloop-generator-") as name:
            place = Path(name)
            out, listed, nothing = place / "clips", place / "prompts.jsonl", place / "state"
            out.mkdir()
            nothing.mkdir()
            _write_lines(listed, rows)
            words = {PROMPTS: listed, OUT: out, STATE: self.outside.state or nothing}
            why = _run(self._words, words, self.folder, self.outside.timeout_s)
            self.failed = {} if why is None else {"command": f"generator command: {why}"}
            came = self._read(out, rows)
        missing = [row for row in rows if row["id"] not in came]
        for row in missing[:NAMED]:
            self.failed[f"{row['id']}"] = f"generator command: no clip for prompt {row['id']} '{row['prompt'][:60]}'"
        if missing[NAMED:]:
            self.failed["others"] = f"generator command: no clip for {len(missing) - NAMED} prompts more"
        if not came and rows:
            raise MotionError(f"no clip of the generator can be used ({next(iter(self.failed.values()))})")
        return [self._told(came[row["id"]], row["prompt"], seed) for row in rows if row["id"] in came]

    def _told(self, clip: Clip, prompt: str, seed: int) -> Clip:
        clip = clip.with_provenance(
            stage="generate", source=self.command, prompt=prompt, seed=seed, models={"generator": self.hash()}
        )
        return replace(clip, texts=(prompt[:MAX_TEXT],))

    def _read(self, out: Path, rows: Sequence[Mapping[str, object]]) -> dict[str, Clip]:
        """Usable clips by the ids of their prompts: a file or a motion in it is called by the id, or has the prompt as
        its caption."""
        open_ids = {str(row["id"]): str(row["prompt"]) for row in rows}
        came: dict[str, Clip] = {}
        try:
            paths = list(find_motions(out))
        except MotionError:
            return came  # nothing was written
        for path in paths:
            for name, motion in read_motions(path, how=self.how):
                try:
                    with reading(path):
                        clip = to_default(motion(), keep_floor=True)
                except MotionError as error:
                    self.failed[_beside(path, out, name)] = _told_of(path, out, error)
                    continue
                named = [path.stem, name.rpartition(":")[2], path.parent.name if path.parent != out else ""]
                found = next((word for word in named if word in open_ids), None)
                if found is None:
                    found = next((key for key, prompt in open_ids.items() if prompt in clip.texts), None)
                if found is None:
                    what = "the id or the caption of a prompt that has no clip yet"
                    self.failed[_beside(path, out, name)] = f"generator command: {path.name}: expected {what}"
                    continue
                came[found] = replace(clip, name=file_name(f"{found}_{open_ids.pop(found)[:40]}"))
        return came

    def finetune(
        self, accepted: Sequence[Clip], replay: Sequence[Clip], config: FinetuneConfig | None = None
    ) -> CommandGenerator:
        """The same command with the state that its fine-tuning left. Raises CommandFailed if that came to nothing."""
        if self.outside.finetune_command is None:
            raise MotionError("generator command: cannot be fine-tuned without --finetune-command")
        if not accepted:
            raise MotionError("fine-tuning: no accepted clips, expected at least one")
        held = tempfile.TemporaryDirectory(prefix="morphloop-state-")
        new_state = Path(held.name)
        with tempfile.TemporaryDirectory(prefix="morphloop-finetune-") as name:
            place = Path(name)
            words = {ACCEPTED: place / "accepted", REPLAY: place / "replay", NEW_STATE: new_state}
            words[STATE] = Path(self.outside.state) if self.outside.state else place / "state"
            (place / "state").mkdir()
            _write_clips(words[ACCEPTED], accepted)
            write_json(words[ACCEPTED] / "finetune.json", asdict(config or FinetuneConfig()))
            if REPLAY in self.outside.finetune_command:
                _write_clips(words[REPLAY], replay)
            why = _run(self._tuning, words, self.folder, self.outside.timeout_s)
        if why is None and not any(new_state.iterdir()):
            why = f"left nothing in {NEW_STATE}"
        if why is not None:
            held.cleanup()
            raise CommandFailed(f"fine-tuning command: {why}")
        tuned = self.with_state(new_state)
        tuned._held = held  # the state goes with the generator unless it is saved
        return tuned

    def with_state(self, state: Path | str) -> CommandGenerator:
        """The same command after another fine-tuning."""
        return CommandGenerator(self.command, replace(self.outside, state=str(state)), self.how)

    def of_folder(self, folder: Path | str) -> CommandGenerator:
        """The same command with the state that `save` wrote: a folder's own word is not enough to run a command."""
        values = read_config(Path(folder) / "config.json")
        if values.get("kind") != COMMAND_KIND:
            raise MotionError(f"{folder}: holds no state of a generator that is a command")
        return self.with_state(Path(folder) / STATE_FOLDER)

    def hash(self) -> str:
        """Hash of the command's words, of the files that they name, of its state and of what was said of it.

        What the command loads beside those files nobody can see: `version` is for that.
        """
        return self._hash

    @cached_property
    def _hash(self) -> str:
        files = {word: _bytes_hash(self.folder / word) for word in self._words if (self.folder / word).is_file()}
        told = {"words": self._words, "files": files, "version": self.outside.version}
        told |= {"timeout_s": self.outside.timeout_s, "fps": self.how.fps, "reading": self.how.beyond_fps}
        state = None if self.outside.state is None else Path(self.outside.state)
        inside = [] if state is None else sorted(path for path in state.rglob("*") if path.is_file())
        told["state"] = [[str(path.relative_to(state)), _bytes_hash(path)] for path in inside if state is not None]
        return hash_json(told)

    def save(self, folder: Path | str) -> Path:
        """Write the state, and a config.json that says which command it is of; the command itself stays where it is."""
        folder = Path(folder)
        try:
            (folder / STATE_FOLDER).mkdir(parents=True, exist_ok=True)
            if self.outside.state is not None:
                shutil.copytree(self.outside.state, folder / STATE_FOLDER, dirs_exist_ok=True)
        except OSError as error:  # also shutil's own
            raise MotionError(f"{folder}: the generator's state cannot be kept ({in_one_line(error)})") from None
        config = {"kind": COMMAND_KIND, "schema": 1, "command": self.command, "hash": self.hash()}
        return write_json(folder / "config.json", config).parent


class PackageGenerator:
    """A generator that a Python package offers as an entry point of `morphloop.generators`.

    The entry point is called with a text, what stands behind the colon of `NAME:TEXT`, or None, and with the folder
    that its own `save` wrote; it returns a `Generator`. What that returns is checked. Raises MotionError if it cannot
    be loaded.
    """

    def __init__(self, name: str, argument: str | None = None, inner: Generator | None = None) -> None:
        self.name, self._entry = name, _entry(name)
        self.inner = inner if inner is not None else _loaded(self._entry, argument)
        self.can_finetune, self.report = self.inner.can_finetune, self.inner.report
        self.failed: dict[str, str] = {}

    @property
    def _distribution(self) -> str:
        made = self._entry.dist
        return "" if made is None else f"{made.name} {made.version}"

    def generate(self, prompts: Sequence[str], seed: int, seconds: Seconds = SECONDS) -> list[Clip]:
        """The package's clips, on the default skeleton; `failed` names the places of those that it left out as None."""
        with _of_package(self.name):
            made: Sequence[Clip | None] = list(self.inner.generate(prompts, seed, seconds))
        if len(made) != len(prompts) or not all(clip is None or isinstance(clip, Clip) for clip in made):
            raise MotionError(f"generator '{self.name}': returned no clip or None for each of {len(prompts)} prompts")
        self.failed, clips = {}, []
        for place, (prompt, clip) in enumerate(zip(prompts, made, strict=True)):
            if clip is None:
                self.failed[f"{place:05d}"] = f"generator '{self.name}': no clip for prompt {place} '{prompt[:60]}'"
                continue
            told = {"stage": "generate", "prompt": prompt, "seed": seed, "models": {"generator": self.hash()}}
            clips.append(replace(to_default(clip, keep_floor=True), texts=(prompt[:MAX_TEXT],)).with_provenance(**told))
        if not clips and prompts:
            raise MotionError(f"generator '{self.name}': made no clip")
        return clips

    def finetune(
        self, accepted: Sequence[Clip], replay: Sequence[Clip], config: FinetuneConfig | None = None
    ) -> PackageGenerator:
        """A new generator, tuned by the package's own `finetune`."""
        with _of_package(self.name):
            tuned = self.inner.finetune(accepted, replay, config or FinetuneConfig())
        return PackageGenerator(self.name, inner=tuned)

    def hash(self) -> str:
        """Hash of the package's version and of what its own `hash` says."""
        return hash_json([PACKAGE_KIND, self.name, self._distribution, self.inner.hash()])

    def save(self, folder: Path | str) -> Path:
        """Let the package save its own, and write which one it was."""
        with _of_package(self.name):
            self.inner.save(Path(folder) / INNER)
        config = {"kind": PACKAGE_KIND, "schema": 1, "name": self.name, "distribution": self._distribution}
        return write_json(Path(folder) / "config.json", config).parent


def package_names() -> list[str]:
    """Names of the generators that installed packages offer."""
    return list(offered(GENERATORS))


def _entry(name: str) -> EntryPoint:
    if name not in offered(GENERATORS):
        known = ", ".join(package_names()) or "none is installed"
        raise MotionError(f"no package offers a generator '{name[:60]}', expected one of: {known}")
    return offered(GENERATORS)[name]


def _loaded(entry: EntryPoint, argument: str | None) -> Generator:
    with _of_package(entry.name):
        made = load(entry)(argument)
    if not isinstance(made, Generator):
        raise MotionError(
            f"generator '{entry.name}': is a {type(made).__name__}, expected morphloop's Generator protocol"
        )
    return made


@contextmanager
def _of_package(name: str) -> Iterator[None]:
    """Whatever a package raises becomes a MotionError of one line that names it."""
    try:
        yield
    except MotionError:
        raise
    except Exception as error:
        raise MotionError(f"generator '{name}': {type(error).__name__} ({in_one_line(error)})") from error


def _own_seed(seed: int, place: int) -> int:
    """A seed for each prompt, of 31 bits, which every library takes."""
    return int(np.random.SeedSequence([seed, place]).generate_state(1)[0] >> 1)


def _words(command: str, folder: Path) -> list[str]:
    """A command's words. MotionError if there are none, quotes are open, or its program is not there."""
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise MotionError(f"command '{command[:60]}': {error}") from None
    if not words:
        raise MotionError("command: is empty, expected a program and its words")
    if shutil.which(words[0]) is None and shutil.which(str(folder / words[0])) is None:
        raise MotionError(f"command '{command[:60]}': no program '{words[0]}' here")
    return words


def _run(words: Sequence[str], filled: Mapping[str, Path | str], folder: Path, timeout_s: float) -> str | None:
    """Run a command in `folder` with its marks filled in; why it did not end well, None if it did.

    Whatever it started ends with it, also where this process is interrupted.
    """
    line = []
    for word in words:
        for mark, path in filled.items():
            word = word.replace(mark, str(path))
        line.append(word)
    if shutil.which(line[0]) is None:
        line[0] = str(folder / line[0])
    with tempfile.TemporaryFile() as said:
        try:
            child = subprocess.Popen(
                line,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        except OSError as error:
            return f"cannot be run ({error.strerror})"
        try:
            code = child.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return f"took over {timeout_s:g} s and was stopped"
        finally:
            _stop(child)
        if code == 0:
            return None
        ended = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        last = _last_line(said)
    return f"{ended} ({last})" if last else ended


def _stop(child: subprocess.Popen[bytes]) -> None:
    """End a command with all that it started."""
    with suppress(ProcessLookupError, PermissionError):  # all of it ended by itself
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def _last_line(said: IO[bytes]) -> str:
    size = said.seek(0, os.SEEK_END)
    said.seek(max(0, size - 4096))
    lines = said.read().decode("utf-8", "replace").split("\n")
    return shown(next((line.strip() for line in reversed(lines) if line.strip()), ""))[:160]


def _told_of(path: Path, out: Path, error: MotionError) -> str:
    """A line on a file that cannot be used, by its name: its folder is gone by the time that it is read."""
    return f"generator command: {naming(path.name, error).replace(f'{out}{os.sep}', '')}"


def _beside(path: Path, out: Path, name: str) -> str:
    """A motion's place for a table of failures: the file under the folder, and which motion of it."""
    inside = str(path.relative_to(out))
    return inside if name == path.stem else f"{inside}:{name.rpartition(':')[2]}"


def _write_lines(path: Path, rows: Sequence[Mapping[str, object]]) -> None:
    text = "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows)
    write_atomic(path, lambda stream: stream.write(text.encode("utf-8", "replace")))


def _write_clips(folder: Path, clips: Sequence[Clip]) -> None:
    """Clips in a folder, and clips.jsonl with the file, the captions and the seconds of each."""
    rows, taken = [], set[str]()
    folder.mkdir(parents=True, exist_ok=True)
    for place, clip in enumerate(clips):
        name = free_name(file_name(clip.name or f"{place:05d}"), taken)
        taken.add(name)
        save_clip(folder / f"{name}.npz", clip)
        rows.append({"file": f"{name}.npz", "texts": list(clip.texts), "seconds": clip.duration, "fps": clip.fps})
    _write_lines(folder / "clips.jsonl", rows)


def _bytes_hash(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()[:16]
