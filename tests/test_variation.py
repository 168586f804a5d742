"""Models that differ from environment to environment: what is drawn, and that both backends run it."""

from __future__ import annotations

import importlib.util
from dataclasses import fields, replace

import mujoco
import numpy as np
import pytest
import torch

from morphloop.base import MotionError
from morphloop.motion import DEFAULT_SKELETON, Skeleton
from morphloop.sim import (
    Body,
    CpuPhysics,
    ModelFields,
    Physics,
    Variation,
    default_body,
    make_physics,
    many_bodies,
    model_values,
)

BACKENDS = [
    "cpu",
    pytest.param("warp", marks=pytest.mark.skipif(not importlib.util.find_spec("mujoco_warp"), reason="mujoco_warp")),
]
EVERYTHING = Variation((0.5, 1.5), (0.8, 1.2), (0.9, 1.1), (0.8, 1.2), (0.8, 1.2), (0.95, 1.05))
RANGES = [item.name for item in fields(Variation)]


def physics_on(backend: str, body: Body, models: ModelFields) -> Physics:
    return make_physics(body, models.num_envs, backend, "cpu", models)  # pyright: ignore[reportArgumentType]


def stand(physics: Physics, speed: float = 0.0) -> None:
    """All environments at rest on their soles, or moving sideways as a whole."""
    count, model = physics.num_envs, physics.body.model
    qvel = torch.zeros(count, model.nv)
    qvel[:, 1] = speed
    physics.set_state(torch.arange(count), torch.as_tensor(model.qpos0).repeat(count, 1), qvel)


@pytest.mark.parametrize("backend", BACKENDS)
def test_twice_the_friction_slides_less(backend: str):
    body = default_body()
    low = Variation(friction=(0.2, 0.2)).sample(body, 1, seed=0)
    high = Variation(friction=(0.4, 0.4)).sample(body, 1, seed=0)
    both = ModelFields(2, {name: np.concatenate([low.fields[name], high.fields[name]]) for name in low.fields})
    physics = physics_on(backend, body, both)
    qpos, qvel = torch.as_tensor(body.model.qpos0).repeat(2, 1), torch.zeros(2, body.model.nv)
    qpos[:, 2], qpos[:, 3:7] = 0.15, torch.tensor([0.5**0.5, 0.0, 0.5**0.5, 0.0])  # lying face down
    qvel[:, 0] = 2.0
    physics.set_state(torch.arange(2), qpos, qvel)
    for _ in range(25):
        physics.step()
    slid = physics.qpos[:, 0]
    assert 0.1 < slid[1] < 0.75 * slid[0]  # half of it by v2 / (2 mu g), once the body has settled


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_ground_carries_the_mass_that_was_drawn(backend: str):
    """Standing bodies of other masses: the force under the feet is each one's weight."""
    body = default_body()
    models = Variation(mass=(0.7, 1.4)).sample(body, 6, seed=3)
    physics = physics_on(backend, body, models)
    stand(physics)
    force = []
    for _ in range(8):
        physics.step()
        force.append(physics.foot_force.sum(dim=1).numpy())
    weight = body.mass * models.drawn["mass"] * 9.81
    np.testing.assert_allclose(np.mean(force[2:], axis=0), weight, rtol=0.05)
    assert np.ptp(weight) > 100.0


def test_the_same_seed_gives_the_same_arrays_and_more_environments_the_same_first_ones():
    body = default_body()
    first, again, other, more = (
        EVERYTHING.sample(body, count, seed) for count, seed in ((4, 7), (4, 7), (4, 8), (6, 7))
    )
    assert first.fields.keys() == again.fields.keys()
    for name, values in first.fields.items():
        assert values.tobytes() == again.fields[name].tobytes()
        assert not values.any() or not np.array_equal(values, other.fields[name])
        np.testing.assert_array_equal(more.fields[name][:4], values)


@pytest.mark.parametrize("name", RANGES)
def test_each_range_is_kept_and_has_its_own_stream(name: str):
    body, (low, high) = default_body(), getattr(EVERYTHING, name)
    everything = EVERYTHING.sample(body, 50, seed=1).drawn
    alone = replace(Variation(), **{name: (low, high)}).sample(body, 50, seed=1).drawn
    assert list(alone) == [name]
    np.testing.assert_array_equal(alone[name], everything[name])
    assert low <= alone[name].min() < alone[name].max() <= high


def test_no_variation_changes_nothing():
    assert Variation().sample(default_body(), 3, seed=0).fields == {}


def test_what_follows_from_a_drawn_value_is_what_mujoco_makes_of_it():
    body, models = default_body(), EVERYTHING.sample(default_body(), 3, seed=2)
    model = models.model(body, 1)
    expected = models.model(body, 1)
    mujoco.mj_setConst(expected, mujoco.MjData(expected))
    for name in models.fields:
        np.testing.assert_allclose(getattr(model, name), getattr(expected, name), rtol=1e-12, err_msg=name)
    assert not np.array_equal(model.dof_invweight0, body.model.dof_invweight0)


def test_servos_that_damp_more_carry_the_inertia_of_it():
    """As the body's own do: what a contact is computed for is what moves."""
    body = default_body()
    plain, model = body.model, Variation(damping=(1.2, 1.2)).sample(body, 1, seed=0).model(body, 0)
    servos, step = body.coordinates.servo_dofs, plain.opt.timestep
    more = step * (plain.actuator_biasprm[:, 2] - model.actuator_biasprm[:, 2])
    assert more.min() > 0.0
    np.testing.assert_allclose(model.dof_armature[servos] - plain.dof_armature[servos], more)


def test_a_larger_body_is_larger_in_every_way():
    body = default_body()
    models = Variation(size=(1.04, 1.04)).sample(body, 1, seed=0)
    model, data = models.model(body, 0), mujoco.MjData(body.model)
    plain = mujoco.MjData(body.model)
    mujoco.mj_forward(model, data)
    mujoco.mj_forward(body.model, plain)
    root = plain.xpos[1]
    np.testing.assert_allclose(data.xpos[1:] - root, 1.04 * (plain.xpos[1:] - root), atol=1e-12)
    assert model.body_mass.sum() == pytest.approx(1.04**3 * body.mass)
    assert model.body_inertia[5, 0] == pytest.approx(1.04**5 * body.model.body_inertia[5, 0])
    np.testing.assert_array_equal(model.geom_size[0], body.model.geom_size[0])


def test_environments_are_the_models_that_can_be_taken_out_of_them():
    """Bit for bit, so that what was found under a variation can be replayed alone and certified."""
    body, models = default_body(), EVERYTHING.sample(default_body(), 3, seed=4)
    physics = CpuPhysics(body, 3, models=models)
    stand(physics, speed=0.5)
    physics.ctrl[:] = 0.1
    physics.step()
    ends = set()
    for env in range(3):
        model = models.model(body, env)
        data = mujoco.MjData(model)
        data.qpos[:], data.ctrl[:] = body.model.qpos0, 0.1
        data.qvel[1] = 0.5
        for _ in range(body.substeps):
            mujoco.mj_step(model, data)
        np.testing.assert_array_equal(physics.qpos[env], data.qpos)
        ends.add(data.qpos.tobytes())
    assert len(ends) == 3


def scaled(factor: float) -> Body:
    skeleton = DEFAULT_SKELETON
    return Body(Skeleton(skeleton.names, skeleton.parents, factor * skeleton.offsets), name=f"person {factor:g}")


def test_bodies_of_other_shapes_run_side_by_side_as_each_would_alone():
    persons = [default_body(), scaled(0.9), scaled(1.1)]
    which = np.array([2, 0, 1, 2])
    physics = CpuPhysics(persons[0], 4, models=many_bodies(persons, which))
    stand(physics)
    physics.step()
    for env, person in enumerate(which):
        alone = CpuPhysics(persons[person], 1)
        alone.set_state(
            torch.zeros(1, dtype=torch.long), torch.as_tensor(persons[0].model.qpos0)[None], torch.zeros(1, 75)
        )
        alone.step()
        np.testing.assert_array_equal(physics.qpos[env], alone.qpos[0])
    assert not torch.equal(physics.qpos[0], physics.qpos[1])


@pytest.mark.parametrize("backend", BACKENDS)
def test_model_values_are_each_environments_own(backend: str):
    body = default_body()
    physics = physics_on(backend, body, Variation(stiffness=(0.8, 1.2)).sample(body, 3, seed=0))
    gains = model_values(physics, "actuator_gainprm")[..., 0]
    assert gains.shape == (3, body.model.nu)
    drawn = physics.models.drawn["stiffness"][:, None]
    np.testing.assert_allclose(gains, drawn * body.model.actuator_gainprm[:, 0], rtol=1e-6)
    assert model_values(physics, "actuator_forcerange").shape == (1, body.model.nu, 2)


def test_bad_variations_are_refused():
    body = default_body()
    with pytest.raises(MotionError, match=r"variation of friction is \(1.2, 0.8\), expected 0 < low <= high"):
        Variation(friction=(1.2, 0.8))
    with pytest.raises(MotionError, match="variation of mass is"):
        Variation(mass=(0.0, 1.0))
    with pytest.raises(MotionError, match=r"variation of size goes to 1\.5, the touch sensors reach to"):
        Variation(size=(0.9, 1.5)).sample(body, 2, seed=0)
    with pytest.raises(MotionError, match="models of 3 environments given, expected 4"):
        CpuPhysics(body, 4, models=Variation(mass=(0.9, 1.1)).sample(body, 3, seed=0))
    with pytest.raises(MotionError, match="body 'smpl24_hinge': nq is"):
        many_bodies([body, default_body("hinge")], np.array([0, 1]))


def test_warp_refuses_what_it_cannot_vary():
    pytest.importorskip("mujoco_warp")
    body = default_body()
    models = ModelFields(2, {"site_size": np.tile(body.model.site_size, (2, 1, 1))})
    with pytest.raises(MotionError, match="mujoco_warp cannot vary site_size from environment to environment"):
        make_physics(body, 2, "warp", "cpu", models)
