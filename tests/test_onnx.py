"""`morphloop export`: what ONNX Runtime makes of a policy, what the file says of it, and the motion beside it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from morphloop.cli import main
from morphloop.envs import observation_layout, observation_size, observation_terms
from morphloop.imitator import load_policy
from morphloop.imitator.training.policy import new_policy
from morphloop.motion import make_corpus, read_motion, save_clip
from morphloop.sim import default_body, driven_body, standing

onnx = pytest.importorskip("onnx", reason="needs the extra 'export': onnx")
runtime = pytest.importorskip("onnxruntime", reason="needs the extra 'export': onnxruntime")


@pytest.fixture(scope="module")
def g1():
    return driven_body("g1")


@pytest.fixture(scope="module")
def g1_policy(g1, tmp_path_factory):
    """An untrained policy whose actions are not small, with a normaliser."""
    policy = new_policy(g1, hidden=(32, 16), seed=1)
    with torch.no_grad():
        policy.actor[-1].weight.mul_(300.0)
        policy.mean.normal_()
        policy.std.uniform_(0.5, 2.0)
    return policy.save(tmp_path_factory.mktemp("policy") / "g1.safetensors")


def told(path) -> dict[str, str]:
    return {entry.key: entry.value for entry in onnx.load(path).metadata_props}


def numbers(text: str) -> np.ndarray:
    return np.array([float(word) for word in text.split(",")])


@pytest.mark.parametrize("rows", [1, 7])
def test_onnx_runtime_reproduces_torch(tmp_path, g1, g1_policy, rows):
    path = tmp_path / "g1.onnx"
    assert main(["export", str(g1_policy), "--onnx", str(path), "--body", "g1"]) == 0
    session = runtime.InferenceSession(str(path))
    (given,), (made,) = session.get_inputs(), session.get_outputs()
    assert (given.name, given.type, given.shape[1]) == ("obs", "tensor(float)", observation_size(g1))
    assert (made.name, made.shape[1]) == ("actions", 29)
    obs = 3.0 * torch.randn(rows, observation_size(g1), generator=torch.Generator().manual_seed(0))
    wanted = load_policy(g1_policy, g1).act(obs).clamp(-3.0, 3.0).numpy()
    (found,) = session.run(None, {"obs": obs.numpy()})
    assert found.shape == (rows, 29)
    assert np.ptp(found) > 1.0  # it acts
    assert np.abs(found - wanted).max() < 1e-5


def test_the_shipped_policy_too(tmp_path):
    path = tmp_path / "shipped.onnx"
    assert main(["export", "shipped", "--onnx", str(path)]) == 0
    body = default_body()
    obs = torch.randn(3, observation_size(body), generator=torch.Generator().manual_seed(0))
    from morphloop.cli.console import SHIPPED_POLICY, shipped

    wanted = load_policy(shipped(SHIPPED_POLICY)).act(obs).clamp(-3.0, 3.0).numpy()
    (found,) = runtime.InferenceSession(str(path)).run(None, {"obs": obs.numpy()})
    assert np.abs(found - wanted).max() < 1e-5
    assert told(path)["joint_names"].count(",") == body.model.nu - 1


def test_metadata_drive_the_robot(tmp_path, g1, g1_policy):
    path = tmp_path / "g1.onnx"
    assert main(["export", str(g1_policy), "--onnx", str(path), "--body", "g1"]) == 0
    said = told(path)
    names = said["joint_names"].split(",")
    assert tuple(names) == g1.robot.hinge_names
    assert np.allclose(numbers(said["joint_stiffness"]), g1.model.actuator_gainprm[:, 0])
    assert np.allclose(numbers(said["joint_damping"]), -g1.model.actuator_biasprm[:, 2])
    assert np.allclose(numbers(said["action_scale"]), [dof.action_scale for dof in g1.dofs])
    pose = dict(zip(names, numbers(said["default_joint_pos"]), strict=True))
    assert pose["left_knee_joint"] == pytest.approx(0.669)
    assert pose["waist_yaw_joint"] == 0.0
    sizes = numbers(said["observation_sizes"]).astype(int)
    assert dict(zip(said["observation_names"].split(","), sizes, strict=True)) == observation_terms(g1)
    assert sizes.sum() == observation_size(g1)
    assert said["observation_layout"] == observation_layout(g1)
    assert float(said["control_hz"]) == g1.control_hz == 50.0
    assert "not default_joint_pos" in said["action_base"]
    assert said["policy_hash"] == load_policy(g1_policy, g1).hash


def test_the_motion_lies_beside_it_at_the_policys_rate(tmp_path, g1, g1_policy):
    clip = save_clip(tmp_path / "stand.npz", standing(g1, 1.0, 30.0))
    path = tmp_path / "out" / "g1.onnx"
    assert main(["export", str(g1_policy), "--onnx", str(path), "--body", "g1", "--clip", str(clip)]) == 0
    data = np.load(path.with_suffix(".npz"))
    assert data["fps"].tolist() == [50.0]
    assert data["joint_names"].tolist() == told(path)["joint_names"].split(",")
    assert read_motion(path.with_suffix(".npz"), robot=g1.robot).num_frames == 51


def test_bad_asks_are_one_line(tmp_path, g1_policy, capsys):
    save_clip(tmp_path / "walk.npz", make_corpus(1, 1)[0])
    for args, words in (
        ([str(g1_policy)], "made for body 'g1'"),
        (["none"], "'none' is no policy to write"),
        ([str(tmp_path / "no.safetensors")], "no such policy"),
    ):
        assert main(["export", *args, "--onnx", str(tmp_path / "a.onnx")]) == 2
        lines = capsys.readouterr().err.strip().splitlines()
        assert len(lines) == 1
        assert words in lines[0]
    assert not (tmp_path / "a.onnx").exists()
