"""The tracking task: references, observations, rewards, starts, and the adapters."""

from __future__ import annotations

import subprocess
import sys
import warnings
from dataclasses import replace
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env
from stable_baselines3 import PPO
from stable_baselines3.common.env_checker import check_env as check_env_for_sb3

from morphloop.base import MotionError
from morphloop.envs import (
    Observer,
    RewardConfig,
    TaskConfig,
    TrackingEnv,
    build_library,
    observation_size,
    prepare,
    rewards,
)
from morphloop.envs.gym_adapter import DEFAULT_ACTIONS, TrackingGymEnv, TrackingVectorEnv, default_clips
from morphloop.envs.observer import ACTION_LIMIT
from morphloop.envs.reference import generalised_velocity, lowest_height, pd_targets, planted_feet
from morphloop.envs.sb3_adapter import TrackingVecEnv
from morphloop.motion import DEFAULT_SKELETON, Clip, make_corpus
from morphloop.motion.rotations import (
    quat_angle,
    quat_from_heading,
    quat_from_rotvec,
    quat_mul,
    quat_rotate,
    quat_to_rotvec,
)
from morphloop.sim import Body, JointState, Recorder, default_body

SMALL_PPO = {"n_steps": 4, "batch_size": 16, "n_epochs": 1, "device": "cpu", "seed": 0}


@pytest.fixture(scope="module")
def body() -> Body:
    torch.set_num_threads(1)
    return default_body()


@pytest.fixture(scope="module")
def corpus() -> dict[str, Clip]:
    """One clip of each action."""
    found: dict[str, Clip] = {}
    for clip in make_corpus(48, seed=4):
        found.setdefault(clip.provenance.notes["action"], clip)
    return found


@pytest.fixture(scope="module")
def clips(body: Body, corpus: dict[str, Clip]) -> list[Clip]:
    return [prepare(corpus[action], body) for action in ("walk", "idle", "squat")]


def turned(clip: Clip, yaw: float, shift: np.ndarray) -> Clip:
    """A clip turned about the vertical through the origin and shifted."""
    turn = quat_from_heading(np.array(yaw))
    rotations = clip.rotations.copy()
    rotations[:, 0] = quat_mul(np.broadcast_to(turn, rotations[:, 0].shape), rotations[:, 0])
    root = quat_rotate(np.broadcast_to(turn, (clip.num_frames, 4)), clip.root_pos) + shift
    return replace(clip, root_pos=root, rotations=rotations)


def still_clip(frames: int = 40, height: float = 0.945) -> Clip:
    rotations = np.zeros((frames, DEFAULT_SKELETON.num_joints, 4))
    rotations[..., 0] = 1.0
    return Clip(30.0, DEFAULT_SKELETON, np.tile([0.0, 0.0, height], (frames, 1)), rotations, name="still")


# -- references ------------------------------------------------------------------------------------------------------


def test_prepare_puts_the_clip_on_the_ground_at_thirty_hertz(body: Body):
    lifted = still_clip(81, height=1.3)
    clip = prepare(replace(lifted, fps=60.0), body)
    assert clip.fps == 30.0
    assert clip.num_frames == 41
    assert clip.root_pos[0, 2] == pytest.approx(0.945, abs=1e-9)
    assert np.percentile(lowest_height(clip, body), 5) == pytest.approx(0.0, abs=1e-9)


def test_one_deep_frame_does_not_lift_the_clip(body: Body):
    root = still_clip().root_pos.copy()
    root[7, 2] -= 0.2
    clip = prepare(replace(still_clip(), root_pos=root), body)
    assert clip.root_pos[0, 2] == pytest.approx(0.945, abs=1e-6)


@pytest.mark.parametrize(("degrees", "expected", "tolerance"), [(5.0, 5.0, 1e-6), (20.0, 0.0, 3.0)])
def test_a_leaning_clip_is_turned_upright_and_a_slight_lean_is_kept(
    body: Body, degrees: float, expected: float, tolerance: float
):
    """Upright is from ankles to chest, which is 2.7 degrees off the rest pose's root."""
    clip = still_clip()
    lean = quat_from_rotvec(np.array([0.0, np.radians(degrees), 0.0]))
    rotations = clip.rotations.copy()
    rotations[:, 0] = lean
    result = prepare(replace(clip, rotations=rotations), body)
    upright = prepare(clip, body)
    off = np.degrees(quat_angle(result.rotations[0, 0], upright.rotations[0, 0]))
    assert off == pytest.approx(expected, abs=tolerance)
    assert np.percentile(lowest_height(result, body), 5) == pytest.approx(0.0, abs=1e-9)


def test_a_flat_walk_that_begins_in_mid_stride_stays_flat(body: Body):
    """A stride leans by more than ten degrees from ankles to chest; turned by that the walk would climb."""
    walk = next(c for c in make_corpus(40, 0, "train") if c.name == "walk_train_0_00038")  # with long strides
    strides = [prepare(walk.slice(start, walk.num_frames), body) for start in range(0, 40, 3)]
    assert max(np.ptp(clip.root_pos[:, 2]) for clip in strides) < 0.1


def test_prepare_refuses_what_cannot_be_tracked(body: Body):
    other = replace(DEFAULT_SKELETON, offsets=DEFAULT_SKELETON.offsets * 0.9)
    clip = still_clip()
    with pytest.raises(MotionError, match="retarget"):
        prepare(Clip(30.0, other, clip.root_pos, clip.rotations), body)
    with pytest.raises(MotionError, match="at most 600 s"):
        prepare(replace(still_clip(1300), fps=2.0), body)


def test_planted_feet_are_those_that_stand(body: Body, corpus: dict[str, Clip]):
    assert planted_feet(prepare(still_clip(), body), body).all()
    assert not planted_feet(still_clip(height=1.1), body).any()
    sliding = still_clip()
    root = sliding.root_pos + np.arange(40)[:, None] / 30.0 * [1.0, 0.0, 0.0]
    assert not planted_feet(replace(sliding, root_pos=root), body).any()
    walk = planted_feet(prepare(corpus["walk"], body), body)
    assert 0.2 < walk.mean() < 0.9
    assert (walk[:, 0] != walk[:, 1]).any(), "in a walk one foot swings while the other stands"


def test_reference_velocity_integrates_back_to_the_clip(body: Body, corpus: dict[str, Clip]):
    clip = prepare(corpus["squat"], body)
    qpos, qvel = body.qpos_from_clip(clip), generalised_velocity(clip, body)
    t = clip.num_frames // 2
    two = 2.0 / clip.fps
    np.testing.assert_allclose(qpos[t - 1, :3] + two * qvel[t, :3], qpos[t + 1, :3], atol=1e-9)
    spin = quat_from_rotvec(two * qvel[t, body.dof_ids])
    assert quat_angle(quat_mul(clip.rotations[t - 1], spin), clip.rotations[t + 1]).max() < 1e-6


def arm_error(body: Body, clip: Clip, targets: np.ndarray) -> float:
    """Mean angle of the left shoulder from the clip, radians, when servos follow targets."""
    recorder = Recorder(body, body.qpos_from_clip(clip)[0], generalised_velocity(clip, body)[0])
    for step in range(clip.num_frames - 1):
        assert recorder.step(targets[step + 1])
    joint = clip.skeleton.index("left_shoulder")
    done = np.array(recorder.qpos)[:, body.qpos_ids[joint]]
    return float(quat_angle(done, clip.rotations[:, joint])[5:].mean())


def test_leading_targets_follow_a_moving_arm_better_than_raw_rotations(body: Body):
    clip = still_clip(45)
    rotations = clip.rotations.copy()
    swing = 0.8 * np.sin(2 * np.pi * np.arange(45) / 30.0)
    rotations[:, clip.skeleton.index("left_shoulder")] = quat_from_rotvec(swing[:, None] * np.array([0.0, 0.0, 1.0]))
    clip = prepare(replace(clip, rotations=rotations), body)
    lead = pd_targets(clip, body)
    raw = quat_to_rotvec(clip.rotations[:, 1:]).reshape(clip.num_frames, -1)
    assert arm_error(body, clip, lead) < 0.5 * arm_error(body, clip, raw)


def test_library_rows_stop_at_a_clips_own_end(body: Body, clips: list[Clip]):
    library = build_library(clips, body)
    clip = torch.tensor([0, 0, 1, 2])
    frame = torch.tensor([0, 10_000, 3, 10_000])
    ends = np.cumsum([c.num_frames for c in clips])
    assert library.rows(clip, frame).tolist() == [0, ends[0] - 1, ends[0] + 3, ends[2] - 1]
    reference = library.joints(torch.tensor([int(ends[0]) + 3]))
    np.testing.assert_allclose(reference.pos[0], clips[1].positions[3], atol=1e-5)
    with pytest.raises(MotionError, match="at least one"):
        build_library([], body)


# -- observations ----------------------------------------------------------------------------------------------------


def observe(body: Body, clip: Clip, at: Clip, frame: int) -> torch.Tensor:
    """Observation of a body that stands as `at` does while it should follow `clip`."""
    observer = Observer(body, build_library([clip], body))
    qpos = torch.from_numpy(body.qpos_from_clip(at)[frame : frame + 1])
    qvel = torch.from_numpy(generalised_velocity(at, body)[frame : frame + 1])
    force = torch.tensor([[300.0, 0.0]])
    return observer.observe(observer.kinematics(qpos, qvel), qvel, force, torch.tensor([0]), torch.tensor([frame]))


@pytest.mark.parametrize("yaw", [0.7, -2.9])
def test_observation_does_not_depend_on_where_and_which_way(body: Body, clips: list[Clip], yaw: float):
    shift = np.array([2.0, -3.0, 0.0])
    clip, away = clips[0], turned(clips[0], 0.2, np.array([0.05, 0.02, 0.01]))
    here = observe(body, clip, away, 20)
    there = observe(body, turned(clip, yaw, shift), turned(away, yaw, shift), 20)
    assert here.shape == (1, observation_size(body))
    assert here.abs().max() > 0.5
    np.testing.assert_allclose(here, there, atol=1e-4)
    lower = observe(body, clip, turned(clip, 0.0, np.array([0.0, 0.0, -0.1])), 20)
    assert (lower - observe(body, clip, clip, 20)).abs().max() > 0.09


def test_perfect_tracking_shows_no_difference(body: Body):
    clip = prepare(still_clip(), body)
    obs = observe(body, clip, clip, 5)[0]
    joints = body.skeleton.num_joints
    own = 1 + 3 * (joints - 1) + 6 * joints + 6 + 3 * (joints - 1) + 2
    position, rotation = obs[own : own + 3 * joints], obs[own + 3 * joints : own + 9 * joints].reshape(joints, 6)
    np.testing.assert_allclose(position, 0.0, atol=1e-5)
    np.testing.assert_allclose(rotation, np.tile([1.0, 0, 0, 0, 1.0, 0], (joints, 1)), atol=1e-5)
    np.testing.assert_allclose(obs[own + 9 * joints : own + 15 * joints], 0.0, atol=1e-5)


# -- rewards and ends ------------------------------------------------------------------------------------------------


def joint_state(joints: int = 4) -> JointState:
    rot = torch.zeros(2, joints, 4)
    rot[..., 0] = 1.0
    zero = torch.zeros(2, joints, 3)
    return JointState(zero.clone(), rot, zero.clone(), zero.clone())


def seen(**known: Any) -> rewards.Seen:
    """What two environments show, the rest of it zero, of clips that no term asks for."""
    zero = torch.zeros(2, 2)
    rest = {"foot_force": zero, "feet": torch.tensor([[0, 1], [2, 3]]), "speed": zero, "torque": zero}
    rest |= {"state": joint_state(), "reference": joint_state(), "steps": torch.tensor([9, 9])}
    rest |= {"body": default_body()} | dict.fromkeys(("library", "clip", "frame"))
    return rewards.Seen(**(rest | known))


def test_imitation_reward_is_one_at_best_and_the_formula_elsewhere():
    config = RewardConfig()
    np.testing.assert_allclose(rewards.imitation(seen(), config), 1.0, atol=1e-6)
    off = joint_state()
    off.pos[1, :, 0] = 0.1
    found = rewards.imitation(seen(state=off), config)
    np.testing.assert_allclose(found, [1.0, 0.5 * np.exp(-1.0) + 0.5], atol=1e-6)
    fast = joint_state()
    fast.vel[0, 0, 2], fast.ang[0, 0, 2] = 4.0, 2.0
    expected = 0.8 + 0.1 * np.exp(-0.1 * 16 / 4) + 0.1 * np.exp(-0.1 * 4 / 4)
    np.testing.assert_allclose(rewards.imitation(seen(state=fast), config)[0], expected, atol=1e-6)


def test_power_costs_after_the_first_steps_and_only_loaded_feet_pay_for_sliding():
    config = RewardConfig()
    torque, speed = torch.tensor([[10.0, -2.0]] * 2), torch.tensor([[-3.0, 5.0]] * 2)
    found = rewards.energy(seen(torque=torque, speed=speed, steps=torch.tensor([3, 4])), config)
    np.testing.assert_allclose(found, [0.0, -0.0005 * 40.0], atol=1e-9)
    state = joint_state()
    state.vel[:, 0, 0], state.vel[:, 1, 1] = 0.4, 0.3  # left foot slides, its slower end counts
    state.vel[:, 2, 0] = 5.0  # right foot rolls over its toe
    found = rewards.foot_slide(seen(state=state, foot_force=torch.tensor([[500.0, 500.0], [0.0, 500.0]])), config)
    np.testing.assert_allclose(found, [-0.5 * 0.3, 0.0], atol=1e-6)


def test_a_new_term_needs_its_function_and_its_place_in_the_table_alone(body: Body, monkeypatch: pytest.MonkeyPatch):
    clips = [prepare(still_clip(60), body)]

    def rewarded() -> torch.Tensor:
        env = TrackingEnv(clips, body, 4, seed=0)
        env.reset()
        return env.step(torch.zeros(4, env.action_size)).reward

    plain = rewarded()
    monkeypatch.setitem(rewards.TERMS, "height", lambda seen, config: seen.state.pos[:, 0, 2])
    assert (rewarded() > plain + 0.5).all()


def test_a_new_term_may_ask_the_body_for_its_soles_and_the_clips_for_theirs(
    body: Body, monkeypatch: pytest.MonkeyPatch
):
    """How much higher the body's lowest point of a foot is than the clip's, from the geometry and the frame alone."""
    given = []

    def clearance(seen: rewards.Seen, config: RewardConfig) -> torch.Tensor:
        surface, where = seen.body.surface, seen.library.rows(seen.clip, seen.frame)
        given.append(where)
        foot = np.flatnonzero(surface.foot >= 0)
        joint, local = torch.from_numpy(surface.joint[foot]), torch.from_numpy(surface.local[foot]).float()

        def lowest(state: JointState) -> torch.Tensor:
            points = state.pos[:, joint] + quat_rotate(state.rot[:, joint], local.expand(len(state.pos), -1, -1))
            return (points[..., 2] - torch.from_numpy(surface.radius[foot]).float()).amin(-1)

        return lowest(seen.state) - lowest(seen.library.joints(where))

    env = TrackingEnv([prepare(still_clip(60), body)], body, 4, seed=0)
    env.reset()
    monkeypatch.setitem(rewards.TERMS, "clearance", clearance)
    monkeypatch.setitem(rewards.TERMS, "imitation", lambda seen, config: torch.zeros(4))
    monkeypatch.setitem(rewards.TERMS, "energy", lambda seen, config: torch.zeros(4))
    result = env.step(torch.zeros(4, env.action_size))
    assert given[0].shape == (4,)
    assert (result.reward.abs() < 0.01).all()


def test_following_a_still_clip_earns_nearly_all_there_is(body: Body):
    env = TrackingEnv([prepare(still_clip(60), body)], body, 4, seed=0)
    env.reset()
    for _ in range(10):
        result = env.step(torch.zeros(4, env.action_size))
    assert (result.reward > 0.9).all()
    assert (result.reward <= 1.0).all()
    assert (result.error < 0.02).all()


def test_an_episode_fails_at_its_distance_and_cut_at_its_length(body: Body, clips: list[Clip]):
    env = TrackingEnv(clips, body, 3, TaskConfig(termination_distance=0.001, random_start=False))
    env.reset(clip=torch.tensor([0, 1, 2]))
    generator = torch.Generator().manual_seed(0)
    steps = [env.step(2.0 * torch.randn(3, env.action_size, generator=generator)) for _ in range(3)]
    assert steps[-1].terminated.all()
    assert not steps[-1].truncated.any()
    assert (steps[-1].error > 0.001).all()
    patient = TrackingEnv(clips, body, 3, TaskConfig(termination_distance=1e3, max_steps=4))
    patient.reset()
    ends = [patient.step(torch.zeros(3, env.action_size)) for _ in range(4)]
    assert ends[-1].truncated.all()
    assert not any(end.terminated.any() for end in ends)


def test_only_the_environments_that_ended_start_anew(body: Body, clips: list[Clip]):
    env = TrackingEnv(clips, body, 3, TaskConfig(random_start=False, termination_distance=1e3, max_steps=50))
    env.reset(clip=torch.tensor([0, 1, 2]))
    env.step(torch.zeros(3, env.action_size))
    env.steps[1] = 49
    result = env.step(torch.zeros(3, env.action_size))
    assert result.truncated.tolist() == [False, True, False]
    assert env.steps.tolist() == [2, 0, 2]
    assert torch.equal(result.obs[[0, 2]], result.final_obs[[0, 2]])
    assert not torch.equal(result.obs[1], result.final_obs[1])
    start = int(env.library.start[env.clip[1]])
    assert torch.equal(env.physics.qpos[1].float(), env.library.qpos[start])
    np.testing.assert_allclose(env.state.pos[1], env.library.state.pos[start], atol=1e-6)
    whole = env.observe()
    np.testing.assert_allclose(result.obs, whole, atol=1e-5)


def test_a_fresh_start_carries_no_foot_force_of_the_last_episode(body: Body):
    env = TrackingEnv([prepare(still_clip(60), body)], body, 2, TaskConfig(max_steps=5, random_start=False))
    first = env.reset()
    for _ in range(5):
        result = env.step(torch.zeros(2, env.action_size))
    assert result.truncated.all()
    assert not torch.equal(result.final_obs, first)
    np.testing.assert_allclose(result.obs, first, atol=1e-6)


def test_a_diverged_body_ends_its_episode_with_finite_numbers(body: Body, clips: list[Clip]):
    env = TrackingEnv(clips, body, 2)
    env.reset()
    env.physics.qvel[0] = float("nan")
    result = env.step(torch.zeros(2, env.action_size))
    assert bool(result.terminated[0])
    assert env.physics.diverged == 1
    for values in (result.obs, result.final_obs, result.reward, result.error):
        assert values.isfinite().all()


def test_same_seed_same_steps(body: Body, clips: list[Clip]):
    def play(seed: int) -> torch.Tensor:
        env = TrackingEnv(clips, body, 4, TaskConfig(max_steps=6), seed)
        generator = torch.Generator().manual_seed(0)
        env.reset()
        return torch.stack([env.step(torch.randn(4, 69, generator=generator)).obs for _ in range(10)])

    assert torch.equal(play(1), play(1))
    assert not torch.equal(play(1), play(2))


# -- adapters --------------------------------------------------------------------------------------------------------

KNOWN_WARNINGS = ("observation space m", "symmetric and normalized")


def test_registered_environment_passes_both_checkers():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        env = gym.make("morphloop/Tracking-v0").unwrapped
        check_env(env)
        check_env_for_sb3(env)
    told = [str(w.message) for w in caught if issubclass(w.category, UserWarning)]
    assert [m for m in told if not any(known in m for known in KNOWN_WARNINGS)] == []


def test_gym_environment_is_the_same_under_a_seed_whatever_went_before():
    def play(env: TrackingGymEnv) -> list[np.ndarray]:
        seen = [env.reset(seed=5)[0]]
        rng = np.random.default_rng(0)
        for _ in range(8):
            obs, reward, *_, info = env.step(rng.uniform(-1, 1, 69).astype(np.float32))
            seen += [obs, np.array([reward, info["error"]])]
        return seen

    used = TrackingGymEnv()
    used.reset()
    used.step(np.zeros(69, np.float32))
    for a, b in zip(play(TrackingGymEnv()), play(used), strict=True):
        assert np.array_equal(a, b)


def test_default_clips_walk_and_stand():
    assert [c.provenance.notes["action"] for c in default_clips()] == list(DEFAULT_ACTIONS)
    assert [c.id for c in default_clips(1)] != [c.id for c in default_clips(0)]


def test_a_picture_shows_the_body_and_an_unknown_mode_is_refused():
    env = TrackingGymEnv(render_mode="rgb_array")
    env.reset(seed=0)
    picture = env.render()
    assert isinstance(picture, np.ndarray)
    assert picture.dtype == np.uint8
    assert picture.shape == (360, 320, 3)
    assert (picture < 128).any(axis=2).sum() > 500
    assert TrackingGymEnv().render() is None
    with pytest.raises(MotionError, match="rgb_array"):
        TrackingGymEnv(render_mode="human")


def test_vector_entry_point(clips: list[Clip]):
    env = gym.make_vec(
        "morphloop/Tracking-v0",
        num_envs=3,
        vectorization_mode="vector_entry_point",
        clips=clips,
        config=TaskConfig(max_steps=3),
    )
    assert isinstance(env, TrackingVectorEnv)
    obs, _ = env.reset(seed=1)
    assert env.observation_space.contains(obs)
    again, _ = env.reset(seed=1)
    assert np.array_equal(obs, again)
    env.action_space.seed(0)
    for _ in range(3):
        obs, reward, terminated, truncated, info = env.step(np.zeros((3, 69), np.float32))
    assert env.observation_space.contains(obs)
    assert reward.shape == terminated.shape == (3,)
    assert truncated.all()
    assert info["_final_obs"].all()
    assert not np.array_equal(info["final_obs"], obs)
    with pytest.raises(MotionError, match="at least 1"):
        TrackingVectorEnv(0)


def test_stable_baselines_learns_on_the_vec_env(body: Body, clips: list[Clip]):
    results = []
    vec = TrackingVecEnv(TrackingEnv(clips, body, 4, TaskConfig(max_steps=3)), on_step=results.append)
    model = PPO("MlpPolicy", vec, policy_kwargs={"net_arch": [16]}, **SMALL_PPO)
    before = [p.detach().clone() for p in model.policy.parameters()]
    model.learn(32)
    assert len(results) == 8
    assert any(not torch.equal(a, b) for a, b in zip(before, model.policy.parameters(), strict=True))
    vec.reset()
    for _ in range(3):
        vec.step_async(np.zeros((4, 69), np.float32))
        obs, reward, done, infos = vec.step_wait()
    assert obs.dtype == reward.dtype == np.float32
    for i in np.flatnonzero(done):
        assert infos[i]["terminal_observation"].shape == (observation_size(body),)
        assert infos[i]["TimeLimit.truncated"] == bool(results[-1].truncated[i])
    assert done.any()


def test_actions_are_bounded_offsets_on_the_targets(body: Body, clips: list[Clip]):
    observer = Observer(body, build_library(clips, body))
    clip, frame = torch.tensor([0, 2]), torch.tensor([4, 7])
    state = observer.reference(clip, frame)
    none = observer.base(state, clip, frame) + observer.offsets(torch.zeros(2, 69))
    np.testing.assert_allclose(none[0], pd_targets(clips[0], body)[5], atol=1e-5)
    huge = none + observer.offsets(torch.full((2, 69), 1e6))
    np.testing.assert_allclose(huge - none, (ACTION_LIMIT * observer.scale).expand(2, -1), atol=1e-4)


def runs(code: str) -> bool:
    """Whether a new process runs this to its end."""
    return subprocess.run([sys.executable, "-c", code]).returncode == 0


@pytest.mark.parametrize(
    "imports",
    [
        "import morphloop.envs, gymnasium",
        "import gymnasium, morphloop.envs",
        "import morphloop.envs, importlib.util; importlib.util.find_spec('gymnasium'); import gymnasium",
    ],
)
def test_the_task_is_registered_whoever_is_imported_or_looked_for_first(imports):
    assert runs(f"{imports}; assert gymnasium.spec('morphloop/Tracking-v0').vector_entry_point")


def test_importing_the_task_loads_no_gymnasium():
    assert runs("import sys, morphloop.envs.config; sys.exit('gymnasium' in sys.modules)")
