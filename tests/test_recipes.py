"""The recipes of docs/contributing.md, carried out as they stand there."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from morphloop.base import MotionError
from morphloop.cli import main
from morphloop.envs import TrackingEnv, rewards
from morphloop.envs.reference import prepare
from morphloop.metrics import measure, measurement, registry
from morphloop.motion import load_clip, make_corpus, read_motion
from morphloop.motion.readers import formats
from morphloop.sim import default_body

PAGE = (Path(__file__).resolve().parent.parent / "docs" / "contributing.md").read_text(encoding="utf-8")


def code(heading: str) -> str:
    """The Python under a heading of the page."""
    section = PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    (found,) = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    return found


def carried_out(heading: str) -> dict[str, object]:
    names: dict[str, object] = {}
    exec(code(heading), names)
    return names


def test_a_reward_term(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(rewards, "TERMS", dict(rewards.TERMS))
    body = default_body()

    def rewarded() -> torch.Tensor:
        env = TrackingEnv([prepare(make_corpus(1, 0)[0], body)], body, 4, seed=0)
        env.reset()
        return env.step(torch.zeros(4, env.action_size)).reward

    plain = rewarded()
    carried_out("A reward term")
    more = rewarded() - plain
    assert (more > 0.05).all()
    assert (more <= 0.1001).all()


def test_a_metric(monkeypatch: pytest.MonkeyPatch):
    metric = carried_out("A metric")["METRIC"]
    monkeypatch.setattr(registry, "_ALL", (*registry._ALL, metric))
    monkeypatch.setattr(measurement, "METRICS", registry._Registry())
    found = measure(make_corpus(1, 0)[0], wrench=False).values["head_height_m"]
    assert found is not None
    assert 1.2 < found < 1.8


def test_a_format(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    form = carried_out("A format")["FORMAT"]
    monkeypatch.setattr(formats, "FORMATS", (*formats.FORMATS, form))
    positions = make_corpus(1, 0)[0].positions[:, :22]
    np.savetxt(tmp_path / "walk.joints", positions.reshape(len(positions), -1))
    track = read_motion(tmp_path / "walk.joints", 30.0)
    np.testing.assert_allclose(track.positions, positions, atol=1e-6)
    with pytest.raises(MotionError, match="expected --fps"):
        read_motion(tmp_path / "walk.joints")


def test_a_generator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    Path("wrap.py").write_text(code("A generator"))
    command = f"{sys.executable} wrap.py {{prompts}} {{out}}"
    assert main(["generate", "a person bows", "--generator", command, "--out", "generated"]) == 0
    (path,) = Path("generated").glob("*.npz")
    assert load_clip(path).num_frames > 30
