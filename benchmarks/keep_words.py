"""What keeps a generator's words through a fine-tuning, and how much of its better physics is physics' own.

    python benchmarks/keep_words.py --write-prompts prompts.txt
    morphloop loop run --prompts prompts.txt --out RUN --seed 1 --imitate.demonstrations 0 --guard-prompts 0 \\
        --finetune-steps 1
    python benchmarks/keep_words.py RUN [--only NAME ...] [--prompts 256] [--samples 4] [--json FILE]

Each row tunes RUN's starting generator once and puts the guard's questions to it, nothing projected. The controls learn
from the corpus alone: of a generator that was trained on a corpus with planted faults (`--source.spoilt`), clean clips
of it repair much without any physics. What physics adds is a row less its control.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from morphloop.base import write_json
from morphloop.base.threads import fixed_threads
from morphloop.generator import FinetuneConfig, MotionLLM
from morphloop.motion import Clip, make_corpus, read_manifest
from morphloop.refinement_loop import HeldOut, read_config
from morphloop.refinement_loop.guard import judge_answers
from morphloop.refinement_loop.guard_samples import held_out_prompts
from morphloop.refinement_loop.status import round_folder
from morphloop.refinement_loop.steps.accepted import accepted_clips
from morphloop.refinement_loop.steps.finetune import bettered, fitting

PROMPTS, PROMPT_SEED = 95, 20
HELD_OUT_SEED, REPLAY_SEED, SEED = 77, 123, 5


@dataclass(frozen=True)
class Variant:
    """One fine-tuning.

    accepted: learns from the round's accepted clips that do what they say and that physics made better; pool: corpus
    clips that are replayed, None for as many as the steps draw, 0 for none; faulty: of a corpus half of which has
    planted faults.
    """

    name: str
    accepted: bool = True
    pool: int | None = None
    faulty: bool = False
    share: float = 0.75
    steps: int = 150
    learning_rate: float = 1e-4


VARIANTS = (
    Variant("as it was: replay as few as accepted, half", pool=85, share=0.5),
    Variant("replay that lasts, half", share=0.5),
    Variant("replay that lasts, three quarters"),
    Variant("replay that lasts, four fifths", share=0.8),
    Variant("three quarters, learning rate 5e-5", learning_rate=5e-5),
    Variant("three quarters, learning rate 2e-4", learning_rate=2e-4),
    Variant("accepted clips alone", pool=0, share=0.0),
    Variant("control: clean corpus alone", accepted=False),
    Variant("corpus as trained, half", faulty=True, share=0.5),
    Variant("control: corpus as trained, alone", accepted=False, faulty=True),
)


def tune(start: MotionLLM, good: list[Clip], variant: Variant) -> MotionLLM:
    """The generator that a variant makes."""
    share = variant.share if variant.accepted else 0.0
    config = FinetuneConfig(variant.steps, learning_rate=variant.learning_rate, replay_share=share, seed=SEED)
    drawn = config.steps * (config.from_replay if variant.accepted else config.batch)
    corpus = make_corpus(drawn if variant.pool is None else variant.pool, REPLAY_SEED, "train", variant.faulty)
    return start.finetune(good, corpus, config) if variant.accepted else start.finetune(corpus, [], config)


def row(name: str, guard: dict[str, Any]) -> str:
    """A line of the table: adherence, Phys-Err, slide, and the changes of energy, travel and diversity."""
    physics, energy = guard["metrics"], guard["motion_energy"]
    cells = [
        f"{100 * guard['adherence']['after']['mean']:.1f} %, {_change(guard['adherence'])}",
        f"{physics['physdiff_phys_err_mm']['after']['mean']:.2f}",
        f"{physics['slide_mean_mm_s']['after']['mean']:.1f}",
        *(_change(figure) for figure in (energy, energy["root_travel"], guard["diversity"])),
        "no" if guard["rolled_back"] else "yes",
    ]
    return f"| {name} | {' | '.join(cells)} |"


def _change(figure: dict[str, Any]) -> str:
    change = figure["change_from_start"]
    return f"{100 * change['mean']:+.1f} [{100 * change['ci95'][0]:+.1f}, {100 * change['ci95'][1]:+.1f}]"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, nargs="?", help="a run with one finished round")
    parser.add_argument("--write-prompts", type=Path, help="write the prompts of the run here, and stop")
    parser.add_argument("--only", nargs="+", default=[], help="names of rows, all if left out")
    parser.add_argument("--prompts", type=int, default=256)
    parser.add_argument("--samples", type=int, default=4)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    if args.write_prompts is not None:
        args.write_prompts.write_text("".join(f"{text}\n" for text in held_out_prompts(PROMPTS, PROMPT_SEED, ())))
        return
    if args.run is None:
        parser.error("expected RUN or --write-prompts FILE")
    with fixed_threads(1):
        table = measured_variants(args)
    if args.json is not None:
        write_json(args.json, table)


def measured_variants(args: argparse.Namespace) -> dict[str, Any]:
    """Tune and ask; prints every row as soon as it is there."""
    config, home = read_config(args.run), round_folder(args.run, 0)
    start = MotionLLM.load(str(config.generator))
    fits = fitting(accepted_clips(home / "project", home / "select"))
    good = bettered(fits, read_manifest(home / "select"), config.selection)
    asked = HeldOut(args.prompts, args.samples, HELD_OUT_SEED, config.seconds, frozenset(config.prompts))
    before = asked.answers(start, lambda done, total: None)
    print(f"{len(good)} clips to learn from, {len(asked.prompts)} prompts with {asked.samples} samples each")
    print("| learnt from | adherence | Phys-Err | slide | joint speed | root travel | diversity | the guard keeps it |")
    print("|---|---|---|---|---|---|---|---|")
    print(row("start", judge_answers(dict.fromkeys(("start", "before", "after"), before), asked)))
    table = {}
    for variant in VARIANTS:
        if args.only and variant.name not in args.only:
            continue
        began = time.perf_counter()
        after = asked.answers(tune(start, good, variant), lambda done, total: None)
        guard = judge_answers({"start": before, "before": before, "after": after}, asked)
        table[variant.name] = {"variant": asdict(variant), "guard": guard}
        print(row(variant.name, guard), f"<!-- {time.perf_counter() - began:.0f} s -->", flush=True)
    return table


if __name__ == "__main__":
    main()
