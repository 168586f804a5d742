"""`--wandb`: curves go to who listens, whatever that does to the training; without the package it is a line."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from morphloop.base import MotionError
from morphloop.base.budget import Budget
from morphloop.base.curves import curves_to_wandb, tell_curves
from morphloop.base.training_run import TrainingRun
from morphloop.cli import main
from morphloop.imitator.training.log import TrainingLog, read_log


class FakeWandb:
    """The package, as far as it is used; `broken` names what of it fails."""

    def __init__(self, broken: str = "") -> None:
        self.broken, self.asked, self.logged, self.ended = broken, [], [], []

    def init(self, **asked: Any) -> SimpleNamespace:
        self.asked.append(asked)
        if self.broken == "init":
            raise OSError("no\nnetwork")
        return SimpleNamespace(log=self.log, finish=lambda exit_code: self.ended.append(exit_code))

    def log(self, figures: dict[str, float], step: int) -> None:
        if self.broken == "log":
            raise OSError("no\nnetwork")
        self.logged.append((step, figures))


@pytest.fixture
def wandb(monkeypatch: pytest.MonkeyPatch) -> FakeWandb:
    fake = FakeWandb()
    monkeypatch.setitem(sys.modules, "wandb", fake)
    monkeypatch.delenv("WANDB_PROJECT", raising=False)
    return fake


def train(steps: int) -> TrainingRun:
    """A training of two weights that logs every second step."""
    model = torch.nn.Linear(1, 1)
    run = TrainingRun(model, Budget(steps, None, 1, 0.01, log_every=2), ("base",))
    for _ in run:
        run.update(model(torch.ones(1, 1)).square().sum(), seen=1.0)
    return run


def test_curves_of_a_training_go_to_the_run_of_its_folder(wandb: FakeWandb, tmp_path: Path) -> None:
    out = tmp_path / "small"
    with curves_to_wandb(True, out, {"steps": 6}):
        train(6)
    assert [step for step, _ in wandb.logged] == [2, 4, 6]
    assert set(wandb.logged[0][1]) == {"train/loss", "train/seen"}
    with curves_to_wandb(True, out, {"steps": 6}):
        pass
    first, again = wandb.asked
    assert (first["project"], first["name"], first["config"]) == ("morphloop", "small", {"steps": 6})
    assert first["id"] == again["id"]
    assert first["resume"] == "allow"
    assert wandb.ended == [0, 0]
    train(2)  # nobody listens any more
    assert len(wandb.logged) == 3


def test_the_imitators_rows_are_told_without_what_is_no_number(wandb: FakeWandb, tmp_path: Path) -> None:
    with curves_to_wandb(True, tmp_path, {}):
        log = TrainingLog(tmp_path, 0)
        log.add({"env_steps": 16, "reward": 0.5, "loss": float("nan"), "test_success": 1.0})
        log.close()
    assert wandb.logged == [(16, {"train/env_steps": 16.0, "train/reward": 0.5, "test/success": 1.0})]
    assert read_log(tmp_path)[0]["loss"] is None


def test_what_fails_in_the_package_costs_a_line_and_no_step(
    wandb: FakeWandb, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wandb.broken = "log"
    with curves_to_wandb(True, tmp_path, {}):
        assert train(6).step == 6
    assert capsys.readouterr().err.count("OSError (no network), the training goes on without it") == 1
    wandb.broken = "init"
    with pytest.raises(MotionError, match=r"--wandb: no run was started \(OSError: no network\)"):
        train_in(tmp_path)
    wandb.broken = ""
    with pytest.raises(ZeroDivisionError), curves_to_wandb(True, tmp_path, {}):
        tell_curves(1, {"loss": 1 / 0})
    assert wandb.ended[-1] == 1


def train_in(folder: Path) -> None:
    with curves_to_wandb(True, folder, {}):
        train(2)


def test_nothing_is_told_unasked_or_by_another_process(
    wandb: FakeWandb, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with curves_to_wandb(False, tmp_path, {}):
        train(2)
    monkeypatch.setenv("RANK", "1")
    train_in(tmp_path)
    assert (wandb.asked, wandb.logged) == ([], [])


@pytest.mark.parametrize("what", ["tokenizer", "generator", "evaluator", "imitator"])
def test_without_the_package_the_flag_is_refused_in_one_line(
    what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    assert main(["train", what, "--out", str(tmp_path / "out"), "--wandb"]) == 2
    said = capsys.readouterr().err.splitlines()
    assert said == ["morphloop: --wandb: wandb is not installed, expected: pip install wandb; or leave --wandb out"]
    assert not (tmp_path / "out").exists()
