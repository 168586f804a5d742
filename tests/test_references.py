"""References for training: what projection would track, the same whoever made it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from morphloop.base import MotionError
from morphloop.envs import TrackingEnv, prepare
from morphloop.envs.conditioning import ConditioningConfig
from morphloop.envs.reference import servo_targets
from morphloop.imitator.projection.project import EASE
from morphloop.imitator.training.references import eased, references
from morphloop.motion import Clip, make_corpus
from morphloop.sim import Body, default_body

NO_EASE = ConditioningConfig(smooth=False, hold_feet=False, balance=False)


@pytest.fixture(scope="module")
def body() -> Body:
    return default_body()


@pytest.fixture(scope="module")
def clips() -> list[Clip]:
    """Clips with a generator's faults, one second each."""
    return [clip.slice(0, 31) for clip in make_corpus(5, 2, "train", defects=True)]


def test_workers_make_what_one_process_makes(body: Body, clips: list[Clip]):
    here, there = references(clips, body, EASE, workers=0), references(clips, body, EASE, workers=2)
    for one, other, clip in zip(here, there, clips, strict=True):
        assert one.clip.name == other.clip.name == clip.name
        np.testing.assert_array_equal(one.clip.rotations, other.clip.rotations)
        np.testing.assert_array_equal(one.clip.root_pos, other.clip.root_pos)
        np.testing.assert_allclose(one.target, other.target, atol=1e-9)


def test_they_are_what_projection_tracks(body: Body, clips: list[Clip]):
    for clip, made in zip(clips, references(clips, body, EASE), strict=True):
        ready = eased(prepare(clip, body), body, EASE)
        np.testing.assert_array_equal(made.clip.positions, ready.positions)
        np.testing.assert_array_equal(made.target, servo_targets(ready, body))
    (bare,) = references(clips[:1], body, NO_EASE)
    np.testing.assert_array_equal(bare.clip.positions, prepare(clips[0], body).positions)


def slow(clip: Clip, frames: int, name: str) -> Clip:
    """The first pose of a clip held for so many frames, one a second."""
    held = np.zeros(frames, int)
    return replace(clip, fps=1.0, root_pos=clip.root_pos[held], rotations=clip.rotations[held], name=name)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_clip_that_cannot_be_prepared_is_named(body: Body, clips: list[Clip], workers: int):
    endless = slow(clips[0], 602, "endless")
    with pytest.raises(MotionError, match=r"endless: .* s long"):
        references([clips[1], endless], body, EASE, workers=workers)


def test_an_environment_takes_targets_that_are_there(body: Body, clips: list[Clip]):
    made = references(clips, body, EASE)
    ready = [one.clip for one in made]
    known = TrackingEnv(ready, body, 4, seed=3, targets=[one.target for one in made])
    own = TrackingEnv(ready, body, 4, seed=3)
    assert torch.equal(known.library.target, own.library.target)
    shifted = TrackingEnv(ready, body, 4, seed=3, targets=[one.target + 1.0 for one in made])
    torch.testing.assert_close(shifted.library.target, own.library.target + 1.0)
