"""A folder of somebody else's outputs as a generator: its clips are what it has, and nothing can be tuned."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path

from morphloop.base import MotionError, write_json
from morphloop.base.names import file_name, free_name, shown
from morphloop.base.opening import naming, open_regular, reading
from morphloop.base.typed import from_dict
from morphloop.base.weights import read_config
from morphloop.motion import Clip, find_motions, read_motions, to_default
from morphloop.motion.config import AS_FILES_SAY, ReadingConfig
from morphloop.motion.own_outputs import pass_over_own
from morphloop.motion.plausible import Doubt, doubts, gathered
from morphloop.motion.reading_limits import MAX_ARRAY_BYTES, MAX_TEXT, READ_BYTES

from .config import FROM_OUTSIDE, FinetuneConfig, OutsideConfig, Seconds
from .latent_llm import LatentLLM
from .motion_llm import MotionLLM
from .outside import (
    COMMAND_KIND,
    INNER,
    PACKAGE_KIND,
    STATE_FOLDER,
    CommandGenerator,
    PackageGenerator,
    is_command,
    package_names,
)
from .protocol import FinetuneReport, Generator

log = logging.getLogger("morphloop.motion")
FOLDER_KIND = "morphloop.folder"


class FolderGenerator:
    """The motion files under a folder, brought onto the default skeleton.

    how: what is said about the files. Raises MotionError if the folder holds no readable motion;
    files that cannot be used are named in `failed` (path to reason) and left out, and so are folders below that
    morphloop wrote (`passed_over`): a run may lie in the folder of its own inputs.
    """

    can_finetune = False
    report: FinetuneReport | None = None

    def __init__(self, folder: Path | str, how: ReadingConfig = AS_FILES_SAY) -> None:
        self.folder, self.how = Path(folder), how
        self.paths, self.passed_over = pass_over_own(find_motions(self.folder), [self.folder])
        self.failed: dict[str, str] = {}
        self._used: dict[Path, None] = {}
        self._clips = self._read()
        if not self._clips:
            reason = next(iter(self.failed.values()), "it is empty")
            raise MotionError(f"{self.folder}: no usable motion ({reason})")

    def _read(self) -> dict[str, Clip]:
        clips: dict[str, Clip] = {}
        taken: set[str] = set()
        looks: list[tuple[str, Doubt]] = []
        motions = ((path, *motion) for path in self.paths for motion in read_motions(path, how=self.how))
        for path, name, read in motions:
            try:
                with reading(path):
                    motion = read()
                    looks += [(f"{path}", doubt) for doubt in doubts(motion)]
                    clip = to_default(motion, keep_floor=True)
            except MotionError as error:
                self.failed[str(path.with_name(name + path.suffix))] = naming(path, error)
                continue
            self._used[path] = None
            if self.folder.is_dir():
                name = (path.parent.relative_to(self.folder) / name).as_posix()
            prompt = clip.texts[0] if clip.texts else name
            if prompt in clips:
                prompt = f"{prompt} ({name})"
            clip = clip.with_provenance(stage="generate", source=str(path), prompt=prompt)
            own = free_name(file_name(name), taken)
            taken.add(own)
            clips[prompt] = replace(clip, name=own, texts=clip.texts or (prompt[:MAX_TEXT],))
        for line in gathered(looks):
            log.warning("%s", shown(line))
        return clips

    @property
    def prompts(self) -> list[str]:
        """What this generator can be asked for: each clip's caption, or its file's name where it has none."""
        return list(self._clips)

    def generate(self, prompts: Sequence[str], seed: int, seconds: Seconds | None = None) -> list[Clip]:
        """The clip of each prompt of `prompts`; seed and seconds change nothing. MotionError on any other prompt."""
        clips = []
        for prompt in prompts:
            if prompt not in self._clips:
                raise MotionError(f"{self.folder}: has no clip for prompt '{prompt[:60]}', expected one of its prompts")
            clips.append(self._clips[prompt].with_provenance(seed=seed, models={"generator": self.hash()}))
        return clips

    def finetune(
        self, accepted: Sequence[Clip], replay: Sequence[Clip], config: FinetuneConfig | None = None
    ) -> Generator:
        """Raises MotionError: the model behind the files is not here."""
        raise MotionError(f"{self.folder}: a folder of outputs cannot be fine-tuned, use a generator with weights")

    def hash(self) -> str:
        """Hash of the names and bytes of the files that hold a usable motion, and of what was said about them."""
        return self._hash

    @cached_property
    def _hash(self) -> str:
        digest = hashlib.sha256(f"{self.how.fps}".encode())
        digest.update(json.dumps(self.how.beyond_fps).encode() if self.how.beyond_fps else b"")
        for path in self._used:  # one that could not be read may be of any size, or gone by now
            digest.update(os.fsencode(path.name))
            own = hashlib.sha256()
            with open_regular(path, MAX_ARRAY_BYTES) as stream, reading(path):
                while piece := stream.read(READ_BYTES):
                    own.update(piece)
            digest.update(own.digest())
        return digest.hexdigest()[:16]

    def save(self, folder: Path | str) -> Path:
        """Write a config.json that points at the folder of outputs."""
        config = {"kind": FOLDER_KIND, "schema": 1, "folder": str(self.folder.resolve()), "fps": self.how.fps}
        config |= self.how.beyond_fps
        return write_json(Path(folder) / "config.json", config).parent


def load_generator(
    spec: Path | str, how: ReadingConfig = AS_FILES_SAY, outside: OutsideConfig = FROM_OUTSIDE
) -> Generator:
    """The generator that a text names: a command, a folder that `save` wrote, a package's by its entry point, or else
    the motion files of a folder, read as `how` says.

    outside: how a command is run. A folder names no command: what a file says is not run.
    """
    if is_command(spec):
        return CommandGenerator(str(spec), outside, how)
    path = Path(spec)
    name, _, argument = str(spec).partition(":")
    if not path.exists() and name in package_names():
        return PackageGenerator(name, argument or None)
    config = path / "config.json"
    values = read_config(config) if config.is_file() else {}
    kind = values.get("kind")
    if kind == MotionLLM.KIND:
        return MotionLLM.load(path)
    if kind == LatentLLM.KIND:
        return LatentLLM.load(path)
    if kind == COMMAND_KIND:
        raise MotionError(
            f"{path}: the state of a command, expected the command, and {path / STATE_FOLDER} as its state"
        )
    if kind == PACKAGE_KIND:
        return PackageGenerator(str(values.get("name")), str(path / INNER))
    if kind == FOLDER_KIND:
        said = {name: value for name, value in values.items() if name not in ("kind", "schema", "folder")}
        return FolderGenerator(str(values.get("folder")), from_dict(ReadingConfig, said, config))
    return FolderGenerator(path, how)


def load_tuned(folder: Path | str, before: Generator) -> Generator:
    """What a fine-tuning of `before` saved in a folder."""
    return before.of_folder(folder) if isinstance(before, CommandGenerator) else load_generator(folder)
