"""The control step that training, rollouts, distillation and tuning share."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from morphloop.envs import Observer, Reference, Simulation, base_targets, follow, make_reference, stack
from morphloop.envs.simulation import BLOCK, whole_blocks
from morphloop.motion import make_corpus
from morphloop.sim import Body, CpuPhysics, default_body

FAR = 0.5


@pytest.fixture(scope="module")
def body() -> Body:
    torch.set_num_threads(1)
    return default_body()


@pytest.fixture(scope="module")
def references(body: Body) -> list[Reference]:
    """Of the beginnings of three clips, of different lengths."""
    lengths = (12, 20, 7)
    return [make_reference(clip.slice(0, n), body) for clip, n in zip(make_corpus(3, 4), lengths, strict=True)]


def placed(body: Body, references: list[Reference], in_blocks: bool = False) -> Simulation:
    """A body a reference, at its first frame."""
    physics = CpuPhysics(body, len(references))
    for values in (physics.qpos, physics.qvel, physics.ctrl):
        values.fill_(float("nan"))
    simulation = Simulation(physics, Observer(body, stack(references, body)), in_blocks=in_blocks)
    ids = torch.arange(len(references))
    simulation.place(ids, ids, 0 * ids, *simulation.start_states(ids, 0 * ids))
    return simulation


def driven(simulation: Simulation) -> torch.Tensor:
    """Some offsets that depend on the state."""
    return 0.1 * torch.sin(10.0 * simulation.state.pos.flatten(1)[:, :69])


def test_whole_blocks_repeat_the_last_row():
    assert whole_blocks(3).tolist() == [0, 1, *[2] * (BLOCK - 2)]
    assert whole_blocks(BLOCK).tolist() == list(range(BLOCK))
    assert len(whole_blocks(BLOCK + 1)) == 2 * BLOCK


@pytest.mark.parametrize("in_blocks", [False, True])
def test_a_step_leads_the_clip_by_a_frame_and_adds_the_offsets(
    body: Body, references: list[Reference], in_blocks: bool
):
    simulation = placed(body, references, in_blocks)
    observer, physics, count = simulation.observer, simulation.physics, len(references)
    for step in range(3):
        clip = torch.arange(count)
        state = observer.kinematics(physics.qpos, physics.qvel)
        base, offsets = observer.base(state, clip, torch.full_like(clip, step)), driven(simulation)
        assert not simulation.advance(offsets).any()
        torch.testing.assert_close(physics.ctrl.float(), base + offsets[:count], atol=1e-5, rtol=0.0)
        for row in (0, count - 1, len(simulation.clip) - 1):
            assert simulation.frame[row] == step + 1
            assert simulation.clip[row] == min(row, count - 1)
        there = observer.kinematics(physics.qpos, physics.qvel)
        torch.testing.assert_close(simulation.state.pos[:count], there.pos)
        torch.testing.assert_close(simulation.state.pos[-1], there.pos[-1])
        torch.testing.assert_close(simulation.foot_force[:count], physics.foot_force)
    assert simulation.distance().shape == simulation.ended().shape == (count,)


def test_no_offsets_are_feedback_alone(body: Body, references: list[Reference]):
    with_none, with_zeros = placed(body, references), placed(body, references)
    with_none.advance()
    with_zeros.advance(torch.zeros(3, body.model.nu), with_zeros.base())
    assert torch.equal(with_none.physics.ctrl, with_zeros.physics.ctrl)
    assert torch.equal(with_none.physics.qpos, with_zeros.physics.qpos)


def test_base_targets_are_those_of_a_simulation_in_blocks(body: Body, references: list[Reference]):
    simulation = placed(body, references, in_blocks=True)
    physics, index = simulation.physics, np.arange(3)
    told = base_targets(simulation.observer, physics.qpos.numpy(), physics.qvel.numpy(), index, 0 * index)
    assert np.array_equal(told, simulation.base()[:3].double().numpy())


def test_bodies_placed_anew_are_where_they_are_put_and_the_others_go_on(body: Body, references: list[Reference]):
    simulation = placed(body, references, in_blocks=True)
    for _ in range(2):
        simulation.advance(driven(simulation))
    before = simulation.state.pos.clone()
    ids, clip, frame = torch.tensor([2]), torch.tensor([1]), torch.tensor([5])
    force = torch.tensor([[3.0, 4.0]], dtype=torch.double)
    simulation.place(ids, clip, frame, *simulation.start_states(clip, frame), force)
    torch.testing.assert_close(simulation.state.pos[2], simulation.library.state.pos[simulation.library.start[1] + 5])
    assert torch.equal(simulation.state.pos[:2], before[:2])
    assert simulation.frame[:3].tolist() == [2, 2, 5]
    for row in (2, BLOCK - 1):
        assert (simulation.clip[row], simulation.frame[row]) == (1, 5)
        assert torch.equal(simulation.state.pos[row], simulation.state.pos[2])
        assert simulation.foot_force[row].tolist() == [3.0, 4.0]
    assert simulation.distance()[2] < 1e-5


def test_each_is_followed_to_its_end(body: Body, references: list[Reference]):
    simulation, seen = placed(body, references, in_blocks=True), []
    found = follow(simulation, driven, FAR, lambda: seen.append(simulation.frame[0].item()))
    assert found.length.tolist() == [12, 20, 7]
    assert not found.diverged.any()
    assert (found.steps, seen) == (19, list(range(20)))


def test_who_fails_or_diverges_is_followed_no_further(body: Body, references: list[Reference]):
    away = replace(references[1], clip=references[1].clip)
    qpos = away.qpos.copy()
    qpos[6:, 0] += 3.0  # no body follows that
    simulation = placed(body, [references[0], replace(away, qpos=qpos), references[0]])

    def law(simulation: Simulation) -> torch.Tensor:
        if simulation.frame[0] == 3:
            simulation.physics.qvel[2] = float("nan")
        return driven(simulation)

    found = follow(simulation, law, FAR)
    assert found.length.tolist() == [12, 7, 4], "the frame in which it failed is its last, one that diverged is none"
    assert found.diverged.tolist() == [False, False, True]


def test_a_clip_of_one_frame_is_at_its_end(body: Body, references: list[Reference]):
    one = make_reference(references[0].prepared.slice(0, 1), body)
    found = follow(placed(body, [one]), driven, FAR)
    assert (found.length.tolist(), found.steps) == ([1], 0)
