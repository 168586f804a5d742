"""`morphloop generate`: prompts to clips."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from morphloop.base import MotionError, write_json
from morphloop.base.terminal import complain, say
from morphloop.generator.config import MAX_SECONDS, SECONDS, OutsideConfig
from morphloop.motion.config import ReadingConfig

from .config import resolved
from .console import BAD_INPUT, DONE, generator_named, writable_folder

if TYPE_CHECKING:
    from morphloop.motion import Clip


WRITTEN = "generate.json"


@dataclass(frozen=True)
class Generate:
    """Generate a clip for every prompt; writes the clips, a manifest.jsonl and generate.json, which --config takes.

    Exit code 2 if a generator from outside left prompts without a clip; the others are there.
    """

    prompts: Annotated[tuple[str, ...], tyro.conf.Positional] = ()
    """Descriptions of motion, each in quotes."""
    prompts_file: Path | None = None
    """Text file with a prompt a line, but for lines that begin with #; they follow those of the command line."""
    beginning: Path | None = None
    """Motion file that every clip begins with (prediction)."""
    ending: Path | None = None
    """Motion file that every clip ends with, beside a beginning (in between); clips are as long as the longest."""
    kept: float | None = None
    """Seconds of these that are kept, a fifth of each if left out."""
    edit: Path | None = None
    """Motion file to change; the prompts are then instructions ("raise the other arm"), each of which gives a clip."""
    unprompted: int = 0
    """Clips to make without a prompt, after those of the prompts."""
    out: Path = Path("generated")
    """Folder to write the clips to."""
    generator: str | None = None
    """Folder of a generator or of somebody else's motion files, a command with {prompts} and {out} among its words, or
    the name of an installed package's; without it the shipped weights."""
    outside: OutsideConfig = field(default_factory=OutsideConfig)
    """How a generator that is a command is run."""
    fps: float | None = None
    """Frame rate of files that cannot tell theirs, where the generator is a folder of files."""
    seconds: tuple[float, float] = SECONDS
    """Shortest and longest clip, seconds."""
    seed: int = 0
    """Of the sampling; the same seed gives the same bytes."""
    temperature: float | None = None
    """Divides the logits, 0 takes the likeliest token; without it what the generator was saved with."""
    top_p: float | None = None
    """Smallest set of tokens with this much probability is drawn from; without it what the generator was saved with."""
    guidance: float | None = None
    """How hard the prompt is asked for (classifier-free guidance), 1 for no more than it says; without it what the
    generator was saved with."""
    candidates: int = 1
    """Samples of each prompt, of which the one is kept that the text-motion evaluator finds nearest to it."""
    evaluator: Path | None = None
    """Folder of another evaluator than the one that ships, for --candidates."""
    describe: bool = False
    """Let the model describe each clip that it made (motion to text)."""
    json: Path | None = None
    """Write names, prompts, lengths and hashes here."""

    def run(self) -> int:
        """Do the work; returns the exit code."""
        from morphloop.generator import (
            CommandGenerator,
            FolderGenerator,
            LatentLLM,
            MotionLLM,
            PackageGenerator,
            generate_best,
            load_generator,
        )
        from morphloop.metrics.text_motion.evaluator import load_evaluator
        from morphloop.refinement_loop import read_prompts

        if self.seed < 0:
            raise MotionError(f"--seed: {self.seed}, expected 0 or more")
        generator = load_generator(generator_named(self.generator), ReadingConfig(self.fps), self.outside)
        prompts = [*self.prompts, *(read_prompts(self.prompts_file) if self.prompts_file else [])]
        if isinstance(generator, MotionLLM | LatentLLM):
            generator = generator.with_sampling(self.temperature, self.top_p, self.guidance)
        elif self.describe or self.candidates != 1 or (self.temperature, self.top_p, self.guidance) != (None,) * 3:
            raise MotionError(f"{self.generator}: is not sampled and describes nothing, only weights of our own do")
        if self.evaluator is not None and self.candidates == 1:
            raise MotionError("--evaluator: chooses among --candidates, expected 2 of them or more")
        if (self.beginning is not None or self.unprompted) and not isinstance(generator, MotionLLM):
            raise MotionError(f"{self.generator}: only a language model over codes takes a beginning or no prompt")
        if self.edit is not None and not isinstance(generator, MotionLLM):
            raise MotionError(f"{self.generator}: only a language model over codes edits motion")
        if self.edit is not None and (self.beginning is not None or self.unprompted):
            raise MotionError("--edit: changes a motion as its instructions say, expected no --beginning, --unprompted")
        if isinstance(generator, LatentLLM) and (self.temperature, self.top_p) != (None, None):
            raise MotionError(f"{self.generator}: draws latents, which --temperature and --top-p say nothing of")
        if self.ending is not None and self.beginning is None:
            raise MotionError("--ending: expected --beginning as well, motion is made between both")
        if self.kept is not None and self.beginning is None:
            raise MotionError("--kept: expected --beginning as well, whose seconds are kept")
        beginning = None if self.beginning is None else _part(self.beginning, self.kept, self.fps)
        ending = None if self.ending is None else _part(self.ending, self.kept, self.fps, last=True)
        source = None if self.edit is None else _default(self.edit, self.fps)
        if isinstance(generator, FolderGenerator):
            prompts = prompts or generator.prompts
            for reason in generator.failed.values():
                complain(reason)
        if not prompts and not self.unprompted:
            raise MotionError("generate: no prompt, expected one in quotes or --prompts-file FILE")
        out = writable_folder(self.out)
        begun = time.monotonic()
        goes_on = self.beginning is not None or self.unprompted > 0 or self.seconds[1] > MAX_SECONDS
        if (goes_on or source is not None) and self.candidates != 1:
            raise MotionError(f"--candidates: are of prompts, of at most {MAX_SECONDS:g} s and without a beginning")
        if source is not None and isinstance(generator, MotionLLM):
            clips = generator.edit([source] * len(prompts), prompts, self.seed, self.seconds)
        elif goes_on and isinstance(generator, MotionLLM):
            asked = [*prompts, *[None] * self.unprompted]
            if beginning is not None and ending is not None:
                clips = generator.between([(beginning, ending)] * len(asked), asked, self.seed, self.seconds[1])
            else:
                clips = generator.continued([beginning] * len(asked), asked, self.seed, self.seconds)
        elif isinstance(generator, MotionLLM | LatentLLM) and self.candidates != 1:
            evaluator = load_evaluator(self.evaluator)
            clips = generate_best(generator, evaluator, prompts, self.candidates, self.seed, self.seconds)
        else:
            clips = generator.generate(prompts, self.seed, self.seconds)
        wall = time.monotonic() - begun
        missing = generator.failed if isinstance(generator, CommandGenerator | PackageGenerator) else {}
        for reason in missing.values():
            complain(reason)
        captions = generator.describe(clips) if self.describe and isinstance(generator, MotionLLM | LatentLLM) else None
        rows = _write(out, clips, captions)
        named = {} if self.generator is None else {"generator": generator_named(self.generator)}
        write_json(out / WRITTEN, resolved(self, prompts=prompts, prompts_file=None, **named))
        for row in rows:
            said = f"  says: {row['description']}" if captions else ""
            say(f"{row['file']}  {row['seconds']:.2f} s  {row['prompt'] or 'no prompt'}{said}")
        if self.json is not None:
            write_json(self.json, {"schema": 1, "generator": generator.hash(), "wall_s": wall, "clips": rows})
        return BAD_INPUT if missing else DONE


def _default(path: Path, fps: float | None) -> Clip:
    """A motion file on the default skeleton; MotionError if it cannot be used."""
    from morphloop.motion import read_motion, to_default

    return to_default(read_motion(path, how=ReadingConfig(fps)), keep_floor=True)


def _part(path: Path, kept: float | None, fps: float | None, last: bool = False) -> Clip:
    """The first or the last `kept` seconds of a motion file on the default skeleton; MotionError if it cannot be
    used."""
    clip = _default(path, fps)
    kept = clip.duration / 5 if kept is None else kept
    if not 0 < kept <= clip.duration:
        raise MotionError(f"--kept: {kept:g} s of a motion of {clip.duration:.2f} s, expected over 0 and at most that")
    frames = round(kept * clip.fps) + 1
    return clip.slice(clip.num_frames - frames, clip.num_frames) if last else clip.slice(0, frames)


def _write(out: Path, clips: list[Clip], captions: list[str] | None) -> list[dict[str, Any]]:
    """Write the clips, then their manifest; returns its rows."""
    from morphloop.motion import save_clip, write_manifest

    rows: list[dict[str, Any]] = []
    for index, clip in enumerate(clips):
        path = save_clip(out / f"{clip.name}.npz", clip)
        row = {"file": path.name, "id": clip.id, "prompt": clip.provenance.prompt, "seed": clip.provenance.seed}
        row |= {"frames": clip.num_frames, "fps": clip.fps, "seconds": clip.duration}
        rows.append(row | ({"description": captions[index]} if captions else {}))
    write_manifest(out, rows)
    return rows
