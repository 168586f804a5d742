"""The GPU's bench, rehearsed on Warp's CPU device with tiny sizes: every stage, and what becomes of one cut short."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch

pytest.importorskip("mujoco_warp", reason="the GPU bench needs mujoco_warp and Warp")
pytest.importorskip("rsl_rl", reason="the GPU bench trains PPO by rsl-rl-lib")

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "gpu" / "run.py"
TINY = [
    "--device", "cpu", "--sizes", "2", "--speed-steps", "4", "--envs", "2", "--clips", "1", "--variations", "0",
    "--held-out", "0", "--checkpoint-s", "0.2", "--train-s", "1.0", "--set-clips", "1", "--seconds", "1",
    "--hidden", "8", "--worldmodel.hidden", "8", "--worldmodel.window", "2", "--worldmodel.horizon", "2",
    "--worldmodel.model-batch", "2", "--worldmodel.model-steps", "1", "--worldmodel.policy-batch", "2",
    "--worldmodel.policy-steps", "1", "--rsl.steps", "2", "--rsl.minibatches", "1", "--rsl.epochs", "1",
]  # fmt: skip


@pytest.fixture(scope="module")
def bench() -> ModuleType:
    spec = importlib.util.spec_from_file_location("gpu_bench", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["gpu_bench"] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_all_stages_run_go_on_and_tell(bench: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Stages in this process; the first call finds PPO at its limit, the second has that and the sets left to do."""
    seen: list[str] = []
    late = {"rsl"}

    def run(words: list[str], **options: Any) -> subprocess.CompletedProcess[bytes]:
        stage = words[-1]
        seen.append(stage)
        assert words[:2] == [sys.executable, bench.__file__]
        assert 0.0 < options["timeout"] <= 600.0
        if stage in late:
            raise subprocess.TimeoutExpired(words, options["timeout"])
        code = bench.main(words[2:])
        options["stdout"].write(b"" if code == 0 else b"what went wrong\n\n")
        return subprocess.CompletedProcess(words, code)

    monkeypatch.setattr(bench, "missing_data", lambda letter, data: None if letter == "A" else f"set {letter}: no data")
    monkeypatch.setattr(bench, "subprocess", SimpleNamespace(run=run, TimeoutExpired=subprocess.TimeoutExpired))
    words = ["--out", str(tmp_path / "work"), *TINY, "--limit-s", "1e5", "--markdown", str(tmp_path / "page.md")]
    assert bench.main(words) == 1
    told = json.loads((tmp_path / "work" / "results.json").read_text())
    assert [told["stages"][name]["state"] for name in bench.STAGES] == ["done", "done", "stopped", "failed"]
    assert told["stages"]["rsl"]["why"] == "at its limit of 600 s"
    assert told["stages"]["sets"]["why"] == "what went wrong"
    assert told["speed"]["2"]["env_steps_per_s"] > 0.0
    late.clear()
    seen.clear()
    assert bench.main(words) == 0
    assert seen == ["rsl", "sets"], "what is done is not done again"
    told = json.loads((tmp_path / "work" / "results.json").read_text())
    assert set(told["trainings"]) == {"worldmodel", "rsl"}
    for name in bench.TRAININGS:
        assert told["trainings"][name]["env_steps"] > 0
        assert set(told["sets"]["A"][name]["backends"]) == {"cpu", "warp"}
    assert told["sets"]["B"] == {"missing": "set B: no data"}
    text = (tmp_path / "page.md").read_text()
    assert "| rsl | done" in text
    assert "- Missing: set D: no data" in text
    other = [word if word != "0.2" else "0.3" for word in words]
    assert bench.main(other) == 2, "a folder of other options"


def test_what_is_done_goes_on_with_more_seconds_or_data(
    bench: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    seen: list[str] = []

    def run(words: list[str], **options: Any) -> subprocess.CompletedProcess[bytes]:
        seen.append(words[-1])
        return subprocess.CompletedProcess(words, 0)

    monkeypatch.setattr(bench, "subprocess", SimpleNamespace(run=run, TimeoutExpired=subprocess.TimeoutExpired))
    monkeypatch.setattr(bench, "missing_data", lambda letter, data: "no data folder")
    words = ["--out", str(tmp_path), *TINY]
    assert bench.main(words) == 0
    assert seen == list(bench.STAGES)
    (tmp_path / "sets.json").write_text(json.dumps({"B": {"missing": "no data folder"}}))
    assert bench.main(words) == 0
    assert len(seen) == 4
    monkeypatch.setattr(bench, "missing_data", lambda letter, data: None)
    assert bench.main(words) == 0
    assert seen[4:] == ["sets"]
    (tmp_path / "sets.json").unlink()
    assert bench.main([word if word != "1.0" else "2.0" for word in words]) == 0
    assert seen[5:] == ["worldmodel", "rsl", "sets"]


def test_without_time_or_a_gpu_is_one_line(bench: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert bench.main(["--out", str(tmp_path / "late"), *TINY, "--limit-s", "0"]) == 1
    told = json.loads((tmp_path / "late" / "results.json").read_text())
    assert {stage["why"] for stage in told["stages"].values()} == {"no time was left of 0 s"}
    if not torch.cuda.is_available():
        assert bench.main(["--out", str(tmp_path / "none")]) == 2
        assert "no CUDA device here for --device cuda:0, expected cpu" in capsys.readouterr().err
