"""The tracking task behind Gymnasium's two interfaces, registered as `morphloop/Tracking-v0`.

Both are thin over `TrackingEnv`; everything that is decided about the task is decided there.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from morphloop.base import MotionError
from morphloop.motion import Clip, make_corpus
from morphloop.sim import Body, default_body
from morphloop.sim.drawing.figure import Camera, draw_figure, make_scene

from .config import TaskConfig
from .observer import ACTION_LIMIT, observation_size
from .reference import prepare
from .tracking import TrackingEnv

DEFAULT_ACTIONS = ("walk", "walk_backward", "side_step", "idle")
"""Actions of the built-in corpus that an environment without clips of its own tracks, one clip each."""
DEFAULT_DRAWS = 24
"""A whole round of the corpus, in which every action comes at least once."""
PICTURE = (320, 360)
"""Width and height of a rendered frame, pixels."""
VIEW = np.pi + 0.9
"""Direction that the camera looks along: at the front of a figure that faces X, a little from its left."""


@lru_cache(maxsize=4)
def default_clips(seed: int = 0) -> tuple[Clip, ...]:
    """A walk, a walk backwards, side steps and a stand from the corpus, one clip each."""
    found: dict[str, Clip] = {}
    for clip in make_corpus(DEFAULT_DRAWS, seed):
        found.setdefault(clip.provenance.notes["action"], clip)
    return tuple(found[action] for action in DEFAULT_ACTIONS)


def _make_task(clips: Sequence[Clip] | None, body: Body, num_envs: int, config: TaskConfig | None, seed: int):
    chosen = default_clips(seed) if clips is None else clips
    return TrackingEnv([prepare(clip, body) for clip in chosen], body, num_envs, config, seed)


def _spaces(body: Body) -> tuple[gym.spaces.Box, gym.spaces.Box]:
    """Spaces of one environment's observation and action."""
    observation = gym.spaces.Box(-np.inf, np.inf, (observation_size(body),), np.float32)
    return observation, gym.spaces.Box(-ACTION_LIMIT, ACTION_LIMIT, (int(body.model.nu),), np.float32)


class TrackingGymEnv(gym.Env[np.ndarray, np.ndarray]):
    """One body tracks clips. Observation (D,) and action (nu,) float32; see `TrackingEnv` for what they mean.

    clips: on the body's skeleton, `default_clips(seed)` if None; body: the default one if None; config: of the task;
    seed: of the clips and of the starts until `reset` is given one; render_mode: None or "rgb_array", a stick figure.
    `step`'s info tells `error`, mean joint distance in metres, and `slide`, m/s of loaded feet. MotionError for clips
    that cannot be tracked or an unknown render mode.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 30}  # noqa: RUF012 (Gymnasium's own name)

    def __init__(
        self,
        clips: Sequence[Clip] | None = None,
        body: Body | None = None,
        config: TaskConfig | None = None,
        seed: int = 0,
        render_mode: str | None = None,
    ):
        if render_mode not in (None, "rgb_array"):
            raise MotionError(f"render mode '{render_mode}' is unknown, expected 'rgb_array' or None")
        self.render_mode = render_mode
        self.body = body or default_body()
        self.metadata = self.metadata | {"render_fps": round(self.body.control_hz)}
        self.task = _make_task(clips, self.body, 1, config, seed)
        self.observation_space, self.action_space = _spaces(self.body)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None):
        super().reset(seed=seed)
        if seed is not None:
            self.task.seed(seed)
        return self.task.reset()[0].numpy(), {}

    def step(self, action: np.ndarray):
        result = self.task.step(torch.as_tensor(action, dtype=torch.float32)[None])
        info = {"error": float(result.error[0]), "slide": float(result.slide[0])}
        flags = bool(result.terminated[0]), bool(result.truncated[0])
        return result.final_obs[0].numpy(), float(result.reward[0]), *flags, info

    def render(self) -> np.ndarray | None:  # type: ignore[override] (Gymnasium's annotation leaves pictures out)
        """The body as it stands now, (height, width, 3) uint8, seen by a camera that moves along but never turns."""
        if self.render_mode is None:
            return None
        clip = self.body.clip_from_qpos(self.task.physics.qpos.numpy().copy(), self.body.control_hz)
        centre = clip.root_pos * [1.0, 1.0, 0.0] + [0.0, 0.0, 0.88]
        return draw_figure(make_scene(clip, self.body), Camera(centre, VIEW), 0, PICTURE)


class TrackingVectorEnv(VectorEnv):
    """N bodies track clips on one batch; an environment that ended starts anew in the same step.

    Arguments as `TrackingGymEnv`; num_envs: N. `step`'s info holds `error` and `slide` (N,) and, when environments
    ended, `final_obs` (N, D), whose rows count where `_final_obs` (N,) is set.
    """

    metadata = {"autoreset_mode": AutoresetMode.SAME_STEP}  # noqa: RUF012 (Gymnasium's own name)

    def __init__(
        self,
        num_envs: int = 1,
        clips: Sequence[Clip] | None = None,
        body: Body | None = None,
        config: TaskConfig | None = None,
        seed: int = 0,
    ):
        if num_envs < 1:
            raise MotionError(f"{num_envs} environments asked for, expected at least 1")
        body = body or default_body()
        self.num_envs = num_envs
        self.task = _make_task(clips, body, num_envs, config, seed)
        self.single_observation_space, self.single_action_space = _spaces(body)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None):
        super().reset(seed=seed)
        if seed is not None:
            self.task.seed(seed)
        return self.task.reset().numpy(), {}

    def step(self, actions: np.ndarray):
        result = self.task.step(torch.as_tensor(actions, dtype=torch.float32))
        done = (result.terminated | result.truncated).numpy()
        info: dict[str, Any] = {"error": result.error.numpy(), "slide": result.slide.numpy()}
        if done.any():
            info |= {"final_obs": result.final_obs.numpy(), "_final_obs": done}
        flags = result.terminated.numpy(), result.truncated.numpy()
        return result.obs.numpy(), result.reward.numpy(), *flags, info
