"""The imitator's ablations: short PPO runs on the corpus that differ in one thing each, same seed and same steps.

The base starts from an untrained network, without a prior, with the contact term and with failure weighting. Each run
is a training folder of its own, so that what was killed goes on where its last checkpoint was; the folder of the warm
start bears the hash of the policy that it started from.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from morphloop.base import write_json
from morphloop.envs import RewardConfig
from morphloop.imitator.training.config import ImitatorConfig, PriorConfig
from morphloop.imitator.training.log import read_log
from morphloop.imitator.training.policy import load_policy
from morphloop.imitator.training.train import train_imitator
from morphloop.motion import make_corpus

RESULT_FILE = "ablations.json"
CHART_FILE = "ablations.png"
BASE = "base"
VARIANTS = {
    BASE: "no prior, untrained start, contact term, failure weighting",
    "vae": "prior: Morph's motion VAE",
    "adversarial": "prior: discriminator (AMP)",
    "warm": "starts from the policy of the bench",
    "no_contact_term": "slide costs nothing",
    "even_starts": "starts drawn evenly, whatever failed",
}
CURVES = {
    "test_success": "success",
    "test_e_mpjpe_mm": "E_mpjpe, mm",
    "test_slide_mean_mm_s": "slide_mean_mm_s",
    "reward": "reward of a step",
}
"""Figures of a checkpoint and their titles. The reward holds the prior's where there is one, and that of slide."""


@dataclass(frozen=True)
class AblationConfig:
    """How long, on what."""

    steps: int = 200_000
    """Control steps of a run, all environments together."""
    envs: int = 256
    clips: int = 200
    """Of the corpus' training split, with a generator's faults."""
    held_out: int = 24
    """Of its test split; what the curves are measured on."""
    checkpoint_s: float = 30.0
    """Seconds between checkpoints, each a point of the curves."""
    seed: int = 0


def variant_config(name: str, config: AblationConfig, start: Path | None) -> ImitatorConfig:
    """The training of a variant. start: policy file that `warm` starts from."""
    base = ImitatorConfig(
        envs=config.envs,
        steps=config.steps,
        seed=config.seed,
        checkpoint_s=config.checkpoint_s,
    )
    if name in ("vae", "adversarial"):
        return replace(base, prior=PriorConfig(kind=name))
    if name == "warm":
        return replace(base, start=str(start))
    if name == "no_contact_term":
        return replace(base, task=replace(base.task, reward=RewardConfig(slide=0.0)))
    return replace(base, task=replace(base.task, start_floor=1.0)) if name == "even_starts" else base


def folder_name(name: str, start: Path | None) -> str:
    """A variant's folder; another policy to start from is another folder."""
    return f"{name}_{load_policy(start).hash[:8]}" if name == "warm" and start is not None else name


def run_ablations(
    out: Path,
    start: Path | None,
    config: AblationConfig | None = None,
    watch: Callable[[str, int, int], None] = lambda label, done, total: None,
) -> dict[str, Any]:
    """Train every variant in a folder of `out`, write the curves and the chart; returns what was written.

    start: policy file for `warm`, which is left out, and said so, without one.
    """
    config = config or AblationConfig()
    clips = make_corpus(config.clips, config.seed, "train", defects=True)
    held_out = make_corpus(config.held_out, config.seed, "test")
    told: dict[str, Any] = {"config": asdict(config), "variants": {}, "left_out": {}}
    for name, title in VARIANTS.items():
        if name == "warm" and start is None:
            told["left_out"][name] = "no policy file to start from"
            continue

        def tick(row: dict[str, Any], name: str = name) -> None:
            watch(f"ablation {name}", min(int(row["env_steps"]), config.steps), config.steps)

        folder = out / folder_name(name, start)
        train_imitator(clips, held_out, folder, variant_config(name, config, start), tick)
        told["variants"][name] = {"title": title, "curve": curve(folder)}
        write_json(out / RESULT_FILE, told)
    write_json(out / RESULT_FILE, told)
    draw(told, out / CHART_FILE)
    return told


def curve(folder: Path) -> list[dict[str, Any]]:
    """The rows of a training's log that were evaluated, in the figures that are shown."""
    rows = [row for row in read_log(folder) if "test_success" in row]
    names = ("env_steps", "seconds", "test_survived", "test_success_strict", *CURVES)
    return [{name: row.get(name) for name in names} for row in rows]


def page(told: dict[str, Any], picture: str | None) -> str:
    """The ablations' part of the page in Markdown. picture: file name of the chart beside it."""
    config = told["config"]
    lines = [
        "## Ablations",
        "",
        f"PPO for {config['steps']} control steps each, {config['envs']} environments, seed {config['seed']}, on "
        f"{config['clips']} clips of the corpus with a generator's faults; measured on {config['held_out']} of its "
        "test split. The last checkpoint of each, the first in brackets. The reward is each run's own.",
        "",
        "| variant | what differs | steps | " + " | ".join(CURVES.values()) + " | seconds |",
        "|---|---|---|" + "---|" * (len(CURVES) + 1),
    ]
    for name, variant in told["variants"].items():
        first, last = variant["curve"][0], variant["curve"][-1]
        values = " | ".join(f"{_number(last[key])} ({_number(first[key])})" for key in CURVES)
        what = f"{name} | {variant['title']} | {last['env_steps']:.0f}"
        lines.append(f"| {what} | {values} | {last['seconds']:.0f} |")
    lines += [f"\nLeft out: {name}, {why}." for name, why in told["left_out"].items()]
    if picture is not None:
        lines += ["", f"![Curves over environment steps]({picture})"]
    return "\n".join(lines)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"


def draw(told: dict[str, Any], path: Path) -> None:
    """A PNG of every variant's curves over environment steps."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    picture = Figure(figsize=(10.0, 6.0), dpi=110, layout="constrained")
    FigureCanvasAgg(picture)
    for axes, (key, title) in zip(picture.subplots(2, 2).flat, CURVES.items(), strict=True):
        for k, (name, variant) in enumerate(told["variants"].items()):
            points = [(row["env_steps"], row[key]) for row in variant["curve"] if row[key] is not None]
            axes.plot(
                *zip(*points, strict=True), "-o", ms=3, lw=2.2 if name == BASE else 1.4, color=f"C{k}", label=name
            )
        axes.set(title=title, xlabel="environment steps")
        axes.grid(alpha=0.25)
    picture.axes[0].legend(fontsize=7, frameon=False)
    picture.savefig(path, metadata={"Software": None})
