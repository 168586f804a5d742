"""`morphloop loop run`."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar

import tyro

from morphloop.base import MotionError
from morphloop.base.terminal import say
from morphloop.refinement_loop.config import LoopConfig, LoopRules

from .config import absolute, body_named
from .console import DONE, generator_named, policy_file, progress_bars, writable_folder
from .estimates import print_run_estimate, run_estimate_json
from .loop import finish


@dataclass(frozen=True, kw_only=True)
class LoopRun(LoopRules):
    """Run the loop: generate, imitate, project, measure, select, fine-tune, round after round.

    Exit code 1 if no clip at all was accepted, 2 if a file of --clips could not be read; the others are done. The run's
    config.json can be handed back with --config.
    """

    out: Path
    """Folder of the run."""
    prompts: Annotated[Path | tuple[str, ...], tyro.conf.arg(metavar="FILE")] = ()
    """Text file with one prompt a line; in a file of --config also the prompts themselves. Required unless --clips is
    given."""
    generator: str | None = None
    """Folder of generator weights, a command with {prompts} and {out} among its words, or the name of an installed
    package's; the shipped one if left out."""
    clips: Path | None = None
    """Instead of a generator: a folder of another model's outputs. They are projected, measured and selected."""
    policy: str | None = "shipped"
    """File of the imitator, `shipped`, or `none` to project by the trajectory optimiser alone."""
    dry_run: bool = False
    """Print rounds, stages and clips, and what they would take in time and on the disk, by some 20 seconds of doing
    each on a few clips; write nothing to --out."""
    json: Path | None = None
    """Write the counts of every round here, or what --dry-run tells."""

    SHORT: ClassVar[dict[str, str]] = {
        "finetune_steps": "finetune.steps",
        "finetune_command": "outside.finetune_command",
        "replay_share": "finetune.replay_share",
        "rescue": "rescue.keep",
    }

    def run(self) -> int:
        from morphloop.refinement_loop import start_run
        from morphloop.refinement_loop.steps.robot import robot_of_run

        config = self.config()
        if config.body is not None:
            robot_of_run(config.body)  # refused before anything is made
        if self.dry_run:
            return self._estimate(config)
        writable_folder(self.out)
        with progress_bars() as watch:
            rounds = start_run(self.out, config, watch)
        return finish(self.out, rounds, self.json)

    def _estimate(self, config: LoopConfig) -> int:
        """Print what the run would take; the exit code."""
        from morphloop.base import write_json
        from morphloop.refinement_loop.estimates.run import estimate_run
        from morphloop.refinement_loop.rounds import look_ahead

        ahead = look_ahead(self.out, config)
        if not ahead.left:
            say(f"{self.out}: all {ahead.done} stages are done")
            return DONE
        found = estimate_run(self.out, ahead)
        print_run_estimate(str(self.out), found)
        if self.json is not None:
            write_json(self.json, run_estimate_json(found))
        return DONE

    def config(self) -> LoopConfig:
        """The run that is asked for, with its prompts read and its paths absolute."""
        from morphloop.generator.outside import is_command
        from morphloop.refinement_loop import read_prompts

        if self.clips is None and not self.prompts:
            raise MotionError("loop run: expected --prompts FILE for a generator, or --clips DIR")
        if self.finetune.seed:
            raise MotionError("--finetune.seed: is the round's, give --seed")
        if self.imitate.distil.seed:
            raise MotionError("--imitate.distil.seed: is the round's, give --seed")
        generator = None if self.clips is not None else generator_named(self.generator)
        policy = None if self.policy is None else policy_file(self.policy)
        rules: dict[str, Any] = {field.name: getattr(self, field.name) for field in fields(LoopRules)}
        rules["body"] = body_named(self.body)
        if generator is not None and is_command(generator):
            where = {"folder": absolute(self.outside.folder or "."), "state": absolute(self.outside.state)}
            rules["outside"] = replace(self.outside, **where)
        return LoopConfig(
            generator=generator,
            clips=None if self.clips is None else str(self.clips.resolve()),
            prompts=read_prompts(self.prompts) if isinstance(self.prompts, Path) else self.prompts,
            policy=None if policy is None else str(policy),
            **rules,
        )
