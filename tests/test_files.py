"""Files that were written by morphloop and damaged, or hold more than one thing, are read for what they are."""

import pickle
from dataclasses import replace

import numpy as np
import pytest

from morphloop.base import MotionError
from morphloop.imitator.training.train import training_clips
from morphloop.motion import Rollout, load_rollout, save_rollout
from morphloop.sim import default_body

FRAMES, NQ, NV, NU = 4, 9, 8, 2
GOOD = Rollout(
    fps=30.0,
    substeps=5,
    body="a",
    model_hash="b",
    start=np.zeros(30),
    qpos=np.zeros((FRAMES, NQ)),
    qvel=np.zeros((FRAMES, NV)),
    ctrl=np.zeros((FRAMES - 1, NU)),
    foot_contact=np.zeros((FRAMES, 2), dtype=bool),
    foot_force=np.zeros((FRAMES, 2)),
    simulator="mujoco 3",
    seed=0,
)


def test_a_rollout_comes_back_as_it_was(tmp_path):
    found = load_rollout(save_rollout(tmp_path / "r.npz", GOOD))
    assert found.num_frames == FRAMES
    assert found.ctrl.shape == GOOD.ctrl.shape


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"qpos": np.zeros(NQ)}, r"qpos \(9,\), expected \(9, n\)"),
        ({"qpos": np.float64(1.0)}, r"qpos \(\), expected a row a control step"),
        ({"qpos": np.zeros((0, NQ))}, r"qpos \(0, 9\), expected a row"),
        ({"qpos": np.zeros((FRAMES, NQ, 1))}, r"qpos \(4, 9, 1\), expected \(4, n\)"),
        ({"qvel": np.zeros((FRAMES + 1, NV))}, r"qvel \(5, 8\), expected \(4, n\)"),
        ({"ctrl": np.zeros((FRAMES, NU))}, r"ctrl \(4, 2\), expected \(3, n\)"),
        ({"foot_force": np.zeros((FRAMES, 3))}, r"foot_force \(4, 3\), expected \(4, 2\)"),
        ({"foot_contact": np.zeros((FRAMES, 2))}, "foot_contact of type float64, expected bool"),
        ({"start": np.zeros((2, 3))}, r"start \(2, 3\), expected \(S,\)"),
        ({"qvel": np.full((FRAMES, NV), np.nan)}, "qvel holds NaN or infinity"),
        ({"ctrl": np.zeros((FRAMES - 1, NU), dtype=np.float32)}, "ctrl of type float32, expected float64"),
        ({"qpos": np.array([["a"] * NQ] * FRAMES)}, "qpos of type <U1, expected float64"),
        ({"fps": "30"}, "fps is '30', expected a number over 0"),
        ({"fps": 0.0}, "fps is 0.0, expected a number over 0"),
        ({"substeps": 2.5}, "substeps is 2.5, expected a number over 0"),
        ({"substeps": 0}, "substeps is 0, expected a number over 0"),
        ({"seed": None}, "seed is None, expected a number"),
        ({"body": 3}, "body is 3, expected text"),
    ],
)
def test_a_rollout_whose_parts_do_not_fit_is_refused_in_one_line(tmp_path, changes, complaint):
    path = save_rollout(tmp_path / "r.npz", replace(GOOD, **changes))
    with pytest.raises(MotionError, match=complaint) as caught:
        load_rollout(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_training_takes_every_motion_of_a_file(tmp_path):
    """PHC keeps a whole data set in one pickle."""
    still = {"pose_aa": np.zeros((20, 72)), "trans_orig": np.tile([0.0, 0.0, 0.95], (20, 1)), "fps": 30}
    (tmp_path / "phc.pkl").write_bytes(pickle.dumps({"0-A": still, "1-B": still}))
    assert [clip.name for clip in training_clips(0, 0, "train", tmp_path, default_body())] == ["phc:0-A", "phc:1-B"]
