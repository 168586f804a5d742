"""Presets: each that ships is read, and one trains stage by stage, goes on exactly and refuses another's folder."""

from dataclasses import replace
from pathlib import Path

import pytest

from morphloop.base import MotionError
from morphloop.cli.preset_stages import preset_names, read_preset
from morphloop.cli.train_generator import TrainGenerator, TrainingData
from morphloop.generator import LatentLLM, MotionLLM, MotionVAE, VaeConfig, load_generator, save_tokenizer

BUDGET = "{steps: 2, minutes: null, batch: 2, learning_rate: 1.0e-3}"
OF_CODES = f"""
codes: {{streams: 1, codebook: 16, code_size: 8, width: 16, depth: 1}}
tokenizer_budget: {BUDGET}
held_out: 1
size: {{layers: 1, width: 48}}
editing: 0.25
instructed: 0.5
stages:
  - budget: {BUDGET}
  - budget: {BUDGET}
    motion_weight: 0.2
"""
OF_LATENTS = f"""
kind: vae
vae: {{latents: 1, latent_size: 4, width: 16, layers: 1, heads: 2, spread: 8}}
tokenizer_budget: {BUDGET}
held_out: 1
size: {{layers: 1, width: 48}}
tower: {{width: 16}}
head: {{width: 16, depth: 1, sampling_steps: 3}}
stages:
  - {{budget: {BUDGET}, adapt: full, to_text: 0.0}}
  - {{budget: {BUDGET}, adapt: frozen, to_text: 0.5}}
"""


def test_those_that_ship_are_read() -> None:
    assert preset_names() == ["m3gpt", "motiongpt3", "motionverse"]
    m3gpt, motiongpt3, motionverse = (read_preset(name) for name in preset_names())
    assert (m3gpt.codes.streams, m3gpt.dual_tower, [stage.motion_weight for stage in m3gpt.stages]) == (
        1,
        False,
        [0, 0.2],
    )
    assert min(m3gpt.between, m3gpt.editing, m3gpt.instructed) > 0, "many tasks, told in words"
    assert (motiongpt3.kind, [stage.adapt for stage in motiongpt3.stages]) == ("vae", ["frozen", "frozen", "full"])
    assert (motionverse.codes.streams, motionverse.pattern, motionverse.dual_tower) == (6, "delay", True)


@pytest.mark.parametrize("name", ["m4gpt", "nowhere.yaml", "../preset_stages"])
def test_unknown_ones_are_refused(name: str) -> None:
    with pytest.raises(MotionError, match="expected one of m3gpt, motiongpt3, motionverse, or a YAML file"):
        read_preset(name)


def test_a_field_that_no_preset_has_is_refused(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text(OF_CODES + "colour: red\n")
    with pytest.raises(MotionError, match=r"own\.yaml: unknown colour"):
        read_preset(str(tmp_path / "own.yaml"))
    (tmp_path / "own.yaml").write_text(f"tokenizer_budget: {BUDGET}\nstages: []\n")
    with pytest.raises(MotionError, match="has no stage"):
        read_preset(str(tmp_path / "own.yaml"))


@pytest.mark.parametrize(("text", "kind"), [(OF_CODES, MotionLLM), (OF_LATENTS, LatentLLM)])
def test_stages_go_on_from_one_another_and_a_killed_one_goes_on_exactly(
    text: str, kind: type, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own.yaml").write_text(text)
    command = TrainGenerator(
        tmp_path / "whole", preset=str(tmp_path / "own.yaml"), source=TrainingData(corpus="plain", clips=4)
    )
    assert command.run() == 0
    whole = load_generator(tmp_path / "whole")
    assert isinstance(whole, kind)
    if isinstance(whole, MotionLLM):
        assert (whole.model.config.editing, whole.model.config.instructed) == (0.25, 0.5)
    first = load_generator(tmp_path / "whole" / "stage1")
    assert first.hash() != whole.hash()

    other = replace(command, out=tmp_path / "killed")
    trained, runs = TrainGenerator.run, []

    def killed(self: TrainGenerator) -> int:
        runs.append(self.out)
        if self.start is not None and len(runs) < 3:
            raise KeyboardInterrupt
        return trained(self)

    monkeypatch.setattr(TrainGenerator, "run", killed)
    with pytest.raises(KeyboardInterrupt):
        trained(other)
    assert trained(other) == 0
    assert runs == [tmp_path / "killed" / "stage1", tmp_path / "killed", tmp_path / "killed"], "stage 1 ran once"
    assert load_generator(tmp_path / "killed").hash() == whole.hash()

    (tmp_path / "own.yaml").write_text(text.replace("layers: 1, width: 48", "layers: 2, width: 48"))
    with pytest.raises(MotionError, match=r"holds a training with preset\.size\.layers = 1, asked for 2"):
        trained(command)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (OF_CODES.replace("motion_weight: 0.2", "to_text: 1.5"), "--to-text 1.5"),
        (OF_CODES.replace("batch: 2,", "batch: 2, seed: -1,"), "--seed is -1"),
        (OF_CODES + "pattern: delays\n", "'delays' is unknown"),
        (OF_CODES + "backbone: nobodys_model\n", "backbone 'nobodys_model'"),
        (OF_CODES + "text_encoder: nobodys_model\n", "text encoder 'nobodys_model'"),
        (OF_LATENTS + "between: 0.2\n", "expected 0 of a VAE"),
        (OF_LATENTS + "editing: 0.2\n", "expected 0 of a VAE"),
        (OF_CODES.replace("editing: 0.25", "editing: 1"), "--editing 1"),
        (OF_LATENTS.replace("to_text: 0.5", "motion_weight: 0.2"), "expected 0 of a VAE"),
    ],
)
def test_what_no_stage_can_be_trained_with_is_refused_before_the_tokenizer_is(
    text: str, why: str, tmp_path: Path
) -> None:
    (tmp_path / "own.yaml").write_text(text)
    with pytest.raises(MotionError, match=why):
        TrainGenerator(tmp_path / "out", preset=str(tmp_path / "own.yaml")).run()
    assert not (tmp_path / "out").exists()


def test_neither_another_generator_nor_a_tokenizer_of_another_kind_is_taken(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text(OF_CODES)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "config.json").write_text("{}")
    command = TrainGenerator(tmp_path / "out", preset=str(tmp_path / "own.yaml"))
    with pytest.raises(MotionError, match="holds a generator that no preset trained"):
        command.run()
    save_tokenizer(tmp_path / "vae", MotionVAE(VaeConfig(width=16, layers=1, heads=2, spread=8)))
    with pytest.raises(MotionError, match="the preset's kind is codes"):
        replace(command, tokenizer=tmp_path / "vae").run()
    with pytest.raises(MotionError, match="says start, to_text, budget itself"):
        replace(command, budget=replace(command.budget, steps=1), start=tmp_path, to_text=0.5).run()
