"""The decoder's last layer: what stands keeps its spot, what swings or rolls is left alone, gradients pass through."""

from functools import cache

import numpy as np
import pytest
import torch

from morphloop.generator.planted_feet import POINTS, kinematics, plant, shortest_arc, standing
from morphloop.metrics import measure
from morphloop.motion import Clip, make_corpus
from morphloop.motion.features import FEATURE_FPS, JOINTS_6D, VELOCITY, clip_to_features, features_to_clip

torch.set_num_threads(1)
SURE = 8.0


@cache
def corpus() -> dict[str, Clip]:
    return {clip.provenance.notes["action"]: clip for clip in make_corpus(40, 5, "test")}


def features_of(action: str) -> torch.Tensor:
    return torch.from_numpy(clip_to_features(corpus()[action]))[None]


def stands_of(features: torch.Tensor) -> torch.Tensor:
    return standing(kinematics(features).soles)


def sliding(features: torch.Tensor, seed: int = 0) -> torch.Tensor:
    """The motion as a decoder says it: root and legs do not agree, slowly varying."""
    rng = np.random.default_rng(seed)
    knots = np.linspace(0, features.shape[1] - 1, features.shape[1] // 8)

    def wander(size: float, columns: int) -> torch.Tensor:
        drawn = size * rng.standard_normal((len(knots), columns))
        frames = np.arange(features.shape[1])
        return torch.from_numpy(np.stack([np.interp(frames, knots, column) for column in drawn.T], axis=-1))

    spoilt = features.clone()
    spoilt[..., VELOCITY] += wander(0.04, 2)
    spoilt[..., JOINTS_6D] += wander(0.01, JOINTS_6D.stop - JOINTS_6D.start)
    return spoilt


def slide_of(features: torch.Tensor) -> float:
    value = measure(features_to_clip(features[0].detach().numpy())).values["slide_mean_mm_s"]
    assert value is not None
    return value


@pytest.mark.parametrize("action", ["walk", "turn", "side_step", "squat", "wave", "kick", "jump_forward"])
def test_feet_that_stand_no_longer_slide_and_the_path_is_kept(action: str) -> None:
    clean = features_of(action)
    stands, spoilt = stands_of(clean), sliding(clean)
    made = plant(spoilt, SURE * (2 * stands - 1))
    step = kinematics(made.features).soles.diff(dim=1).norm(dim=-1).flatten(2) * FEATURE_FPS
    assert float(step[stands[:, :-1] > 0].median()) < 0.003, "metres per second"
    assert slide_of(spoilt) > 15
    assert slide_of(made.features) < slide_of(clean) + 8
    true, before, after = (features_to_clip(f[0].numpy()).root_pos for f in (clean, spoilt, made.features))
    drift = [np.linalg.norm((path - path[0]) - (true - true[0]), axis=-1).mean() for path in (before, after)]
    assert drift[1] < drift[0] + 0.01


def test_what_the_layer_says_is_what_its_features_say() -> None:
    clean = features_of("walk")
    made = plant(sliding(clean), SURE * (2 * stands_of(clean) - 1))
    again = kinematics(made.features)
    origin = made.positions[:, :1, :1] * torch.tensor([1.0, 1.0, 0.0])
    assert torch.allclose(made.positions - origin, again.positions, atol=1e-6)
    assert torch.allclose(made.soles - origin[:, :, None], again.soles, atol=1e-6)


def test_what_does_not_stand_is_left_alone() -> None:
    spoilt = sliding(features_of("walk"))
    made = plant(spoilt, torch.full((1, spoilt.shape[1], POINTS), -SURE)).features
    moved = kinematics(made).positions - kinematics(spoilt).positions
    assert float(moved.norm(dim=-1).max()) < 3e-3
    single = spoilt[:, :1]
    assert torch.equal(plant(single, torch.zeros(1, 1, POINTS)).features, single)


def test_a_swinging_foot_keeps_its_swing() -> None:
    clean = features_of("walk")
    stands, spoilt = stands_of(clean), sliding(clean)
    made = plant(spoilt, SURE * (2 * stands - 1))
    before, after = kinematics(spoilt).soles, kinematics(made.features).soles
    swings = (stands.unflatten(-1, (2, 3)).sum(-1) == 0)[0]
    assert int(swings.sum()) > 20
    lift = (after[0, ..., 2] - before[0, ..., 2])[swings]
    assert float(lift.abs().max()) < 0.02
    speed = [(x.diff(dim=1) * FEATURE_FPS).norm(dim=-1)[0].mean(-1)[swings[:-1]] for x in (before, after)]
    assert float((speed[0] - speed[1]).abs().mean()) < 0.1 * float(speed[0].mean())


def test_a_heel_rises_over_a_ball_that_stands() -> None:
    clean = features_of("walk")
    stands = stands_of(clean).unflatten(-1, (2, 3))[0]
    rolling = (stands[..., 1] == 1) & (stands[..., 0] == 0)
    assert int(rolling.sum()) > 5
    made = plant(sliding(clean), SURE * (2 * stands_of(clean) - 1))
    speed = made.soles.diff(dim=1).norm(dim=-1)[0] * FEATURE_FPS
    assert float(speed[..., 1][rolling[:-1]].median()) < 0.01
    assert float(speed[..., 0][rolling[:-1]].median()) > 0.1


def test_feet_in_the_air_do_not_stand() -> None:
    held = features_of("idle")
    assert float(stands_of(held).mean()) > 0.9
    raised = held.clone()
    raised[..., 3] += 0.2
    assert float(stands_of(raised).max()) == 0.0
    slid = held.clone()
    slid[..., VELOCITY] += 0.15
    assert float(stands_of(slid).mean()) < 0.05


@pytest.mark.parametrize("spoil", [None, "straight", "far"])
def test_gradients_are_finite(spoil: str | None) -> None:
    features = features_of("walk").float()
    if spoil == "straight":
        features[..., JOINTS_6D] = torch.tensor([1.0, 0, 0, 0, 1, 0]).repeat(23)
    if spoil == "far":
        features[..., VELOCITY] += 5.0
    features.requires_grad_()
    logits = torch.zeros(1, features.shape[1], POINTS, requires_grad=True)
    made = plant(features, 3.0 * logits)
    (made.features.square().mean() + made.soles.square().mean()).backward()
    assert features.grad is not None
    assert logits.grad is not None
    assert torch.isfinite(features.grad).all()
    assert torch.isfinite(logits.grad).all()
    assert float(features.grad.abs().max()) < 1e3
    assert torch.isfinite(plant(features * 50.0, 100.0 * torch.ones_like(logits)).features).all()


def test_shortest_arc_turns_one_direction_into_the_other() -> None:
    torch.manual_seed(0)
    a, b = torch.randn(2, 50, 3, dtype=torch.float64)
    turned = (shortest_arc(a, b) @ a[..., None])[..., 0]
    assert torch.allclose(turned / a.norm(dim=-1, keepdim=True), b / b.norm(dim=-1, keepdim=True), atol=1e-9)
    assert torch.allclose(torch.linalg.det(shortest_arc(a, b)), torch.ones(50, dtype=torch.float64))
