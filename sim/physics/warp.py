"""Batched physics on `mujoco_warp`: single precision on CUDA, or on Warp's CPU device, which serves tests.

A control step is captured once as a graph of kernels: a CUDA graph, or on the CPU one of Warp's own, which gives the
same bits as launching kernel after kernel from Python, three times as fast. State tensors are views of Warp's arrays,
and nothing in a step waits for the device but a look at the overflow counter every few seconds.
"""

from __future__ import annotations

import dataclasses
import logging
from typing import Any

import mujoco
import mujoco_warp as mjw
import numpy as np
import torch
import warp as wp

from morphloop.base import MotionError

from ..bodies.body import Body
from .protocol import DivergedStates
from .variation import DERIVED, ModelFields
from .warp_contacts import align_capsules

log = logging.getLogger("morphloop.physics")
wp.config.log_level = wp.LOG_WARNING  # no banner and no line a kernel on standard output

STATE_BOUND = mujoco.mjMAXVAL
"""MuJoCo's own bound: a larger number in a state means that it diverged."""
OVERFLOW_LOOK = 100
"""Control steps between two looks at the overflow counter, each of which waits for the device once."""
_GEOM = mujoco.mjtGeom
MOST_CONTACTS = {
    (_GEOM.mjGEOM_PLANE, _GEOM.mjGEOM_SPHERE): 1,
    (_GEOM.mjGEOM_PLANE, _GEOM.mjGEOM_CAPSULE): 2,
    (_GEOM.mjGEOM_PLANE, _GEOM.mjGEOM_ELLIPSOID): 1,
    (_GEOM.mjGEOM_PLANE, _GEOM.mjGEOM_CYLINDER): 4,
    (_GEOM.mjGEOM_PLANE, _GEOM.mjGEOM_BOX): 8,
    (_GEOM.mjGEOM_SPHERE, _GEOM.mjGEOM_SPHERE): 1,
    (_GEOM.mjGEOM_SPHERE, _GEOM.mjGEOM_CAPSULE): 1,
    (_GEOM.mjGEOM_SPHERE, _GEOM.mjGEOM_BOX): 1,
    (_GEOM.mjGEOM_CAPSULE, _GEOM.mjGEOM_CAPSULE): 2,
    (_GEOM.mjGEOM_CAPSULE, _GEOM.mjGEOM_BOX): 2,
}
"""Contacts that mujoco_warp makes at most of a pair of geom types; `OTHER_CONTACTS` of every other pair."""
OTHER_CONTACTS = 8
SELF_PAIRS = 2
"""Pairs with other moving geoms that count for a moving geom: a body cannot touch all of itself at once."""


def buffer_sizes(model: mujoco.MjModel) -> tuple[int, int]:
    """Contacts and constraint rows that one environment of a model needs at most.

    Contacts: every pair of a moving geom with a fixed one at the most contacts that its types make, plus, where a body
    may touch itself, the pairs that make most, `SELF_PAIRS` a geom. Rows: 2 (d - 1) for each contact of dimension d
    (pyramidal cones), plus equality constraints, joint and tendon limits and friction losses at their most.
    """
    fixed, own = [], []
    for a in range(model.ngeom):
        for b in range(a + 1, model.ngeom):
            if _may_touch(model, a, b):
                kinds = tuple(_GEOM(int(kind)) for kind in sorted((model.geom_type[a], model.geom_type[b])))
                weld = model.body_weldid[model.geom_bodyid[[a, b]]]
                (fixed if 0 in weld else own).append(MOST_CONTACTS.get(kinds, OTHER_CONTACTS))
    fixed += [OTHER_CONTACTS] * model.npair
    moving = int((model.body_weldid[model.geom_bodyid] != 0).sum())
    contacts = max(1, sum(fixed) + sum(sorted(own, reverse=True)[: SELF_PAIRS * moving]))
    dimension = max([1, *model.geom_condim.tolist(), *model.pair_dim.tolist()])
    rows = contacts * max(1, 2 * (dimension - 1)) + 6 * model.neq
    rows += 2 * int(model.jnt_limited.sum() + model.tendon_limited.sum())
    rows += int((model.dof_frictionloss > 0).sum() + (model.tendon_frictionloss > 0).sum())
    return contacts, rows


def _may_touch(model: mujoco.MjModel, a: int, b: int) -> bool:
    """MuJoCo's filter of geom pairs: bitmasks, one body, parent and child unless the parent is the world, excludes."""
    bits = (model.geom_contype[a] & model.geom_conaffinity[b]) | (model.geom_contype[b] & model.geom_conaffinity[a])
    first, second = sorted(int(model.geom_bodyid[g]) for g in (a, b))
    weld = model.body_weldid[[first, second]]
    up = model.body_weldid[model.body_parentid[weld]]
    family = weld.all() and (weld[0] == up[1] or weld[1] == up[0])
    filtered = family and not model.opt.disableflags & mujoco.mjtDisableBit.mjDSBL_FILTERPARENT
    excluded = (first << 16) + second in model.exclude_signature
    return bool(bits) and weld[0] != weld[1] and not filtered and not excluded


def _device(name: str) -> Any:
    """Warp's device of that name, or MotionError with what there is."""
    found = [device.alias for device in wp.get_devices()]
    alias = "cuda:0" if name == "cuda" else name
    if alias not in found:
        raise MotionError(f"no device '{name}' on this machine, expected one of {', '.join(found)}")
    if alias != "cpu" and not torch.cuda.is_available():
        raise MotionError(f"device '{name}' is there, but this torch is built without CUDA")
    return wp.get_device(alias)


class WarpPhysics:
    """N bodies on `mujoco_warp`, behind the same protocol as `CpuPhysics`.

    body: the body; num_envs: N; device: "cuda:0" and so on, or "cpu"; models: what differs from env to env;
    contacts: room for contacts of one environment, by `buffer_sizes` if None.
    overflow: control steps of an environment in which a buffer was too small and something was left out, so far.
    Raises MotionError without the device, or for a body with what mujoco_warp cannot simulate.
    """

    def __init__(
        self,
        body: Body,
        num_envs: int,
        device: str = "cuda:0",
        models: ModelFields | None = None,
        contacts: int | None = None,
    ):
        self._place = _device(device)
        self.body, self.num_envs, self.models = body, num_envs, models
        self.device = torch.device(str(self._place.alias))
        self.contacts, self.rows = _sizes(body.model, contacts)
        with wp.ScopedDevice(self._place):
            self.model = self._put_model()
            self.data = mjw.make_data(body.model, num_envs, nconmax=self.contacts, njmax=self.rows)
        wp.synchronize_device(self._place)  # filled on Warp's stream, read on torch's
        view = wp.to_torch
        self.qpos, self.qvel, self.ctrl = view(self.data.qpos), view(self.data.qvel), view(self.data.ctrl)
        self._qacc = view(self.data.qacc)
        self._cold = [view(self.data.qacc_warmstart), self._qacc, view(self.data.time)]
        self._sensors, self._overflowed = view(self.data.sensordata), view(self.data.overflow)
        self._touch = torch.as_tensor(body.touch_ids, device=self.device)
        self._rest = self.qpos[:1].clone()
        self._overflow = torch.zeros((), dtype=torch.long, device=self.device)
        self._buffers = int(mjw.OverflowType.ALL) & ~int(mjw.OverflowType.ITERATIONS | mjw.OverflowType.LS_ITERATIONS)
        self._reported = 0
        self._graph = self._capture()
        self.diverged_states = DivergedStates(self.qpos, self.qvel, self.ctrl)

    @property
    def foot_force(self) -> torch.Tensor:
        return self._sensors[:, self._touch].sum(dim=2)

    @property
    def diverged(self) -> int:
        return self.diverged_states.total

    @property
    def overflow(self) -> int:
        count = int(self._overflow)
        if count > self._reported:
            log.warning(
                "mujoco_warp: buffers of %d contacts and %d rows an environment were too small in %d steps of "
                "environments so far, contacts were left out",
                self.contacts,
                self.rows,
                count,
            )
            self._reported = count
        return count

    def step(self) -> torch.Tensor:
        self.advance()
        failed = ~self._sound()
        self.diverged_states.add(failed, self.ctrl)
        self._reset(failed)
        self.diverged_states.remember(self.qpos, self.qvel)
        self._overflow += ((self._overflowed & self._buffers) != 0).sum()
        self._overflowed.zero_()
        if self.diverged_states.steps % OVERFLOW_LOOK == 0:
            _ = self.overflow
        return failed

    def advance(self) -> None:
        """The bare control step, the body's substeps of mujoco_warp: no look at what diverged or overflowed.

        On CUDA it runs on torch's own stream, so that torch's writes before and reads after need no waiting.
        """
        wp.capture_launch(self._graph, stream=wp.stream_from_torch(self.device) if self._place.is_cuda else None)

    def set_state(self, ids: torch.Tensor, qpos: torch.Tensor, qvel: torch.Tensor) -> None:
        self.qpos[ids], self.qvel[ids] = qpos.to(self.qpos), qvel.to(self.qvel)
        self.ctrl[ids] = 0.0
        for values in self._cold:
            values[ids] = 0.0
        self.diverged_states.remember(self.qpos[ids], self.qvel[ids], ids)

    def set_where(self, which: torch.Tensor, qpos: torch.Tensor, qvel: torch.Tensor) -> None:
        """`set_state` of environments `which` (N,) bool, to their rows of qpos (N, nq) and qvel (N, nv), without asking
        the device how many they are."""
        rows = which[:, None]
        self.qpos.copy_(torch.where(rows, qpos.to(self.qpos), self.qpos))
        self.qvel.copy_(torch.where(rows, qvel.to(self.qvel), self.qvel))
        for values in (self.ctrl, *self._cold):
            values.masked_fill_(which.reshape(-1, *[1] * (values.ndim - 1)), 0.0)
        self.diverged_states.remember(self.qpos, self.qvel)

    def _put_model(self) -> Any:
        """The model on the device, with a row an environment of what varies."""
        fields = dict(self.models.fields) if self.models else {}
        if self.models:
            self.models.check(self.num_envs)
        own = {name: values for name, values in fields.items() if name in _batched()}
        fixed = sorted(fields.keys() - own.keys() - set(DERIVED))
        if fixed:
            raise MotionError(f"mujoco_warp cannot vary {', '.join(fixed)} from environment to environment")
        try:
            model = mjw.put_model(self.body.model, batch_sizes=dict.fromkeys(own, self.num_envs))
        except (NotImplementedError, ValueError) as error:
            raise MotionError(f"body '{self.body.name}': mujoco_warp cannot simulate it, {error}") from None
        for name, values in own.items():
            array = getattr(model, name)
            array.assign(np.asarray(values, np.float32).reshape(array.numpy().shape))
        model.callback.contactfilter = align_capsules
        model.opt.graph_conditional = self._place.is_cuda and wp.is_conditional_graph_supported()
        model.opt.warn_overflow = 0  # counted here; the kernels' own lines would flood
        return model

    def _capture(self) -> Any:
        """The control step as a graph, recorded on Warp's own stream: CUDA's default stream, which torch works on,
        cannot be. A first step outside it compiles the kernels; its traces are cleared."""
        with wp.ScopedDevice(self._place):
            mjw.step(self.model, self.data)
            with wp.ScopedCapture() as capture:
                for _ in range(self.body.substeps):
                    mjw.step(self.model, self.data)
            wp.synchronize_device(self._place)
        self._reset(torch.ones(self.num_envs, dtype=torch.bool, device=self.device))
        self._overflowed.zero_()
        return capture.graph

    def _sound(self) -> torch.Tensor:
        """(N,) bool: state and acceleration within MuJoCo's bound; a NaN is not."""
        sound = (self.qpos.abs() < STATE_BOUND).all(dim=1) & (self.qvel.abs() < STATE_BOUND).all(dim=1)
        return sound & (self._qacc.abs() < STATE_BOUND).all(dim=1)

    def _reset(self, which: torch.Tensor) -> None:
        """Put environments `which` (N,) bool to rest, without asking the device how many they are."""
        rows = which[:, None]
        self.qpos.copy_(torch.where(rows, self._rest, self.qpos))
        for values in (self.qvel, self.ctrl, self._sensors, *self._cold):
            values.masked_fill_(which.reshape(-1, *[1] * (values.ndim - 1)), 0.0)


def _batched() -> set[str]:
    """Model fields of which mujoco_warp takes a row an environment. Of the derived ones it lacks only those that
    sleeping bodies and visualisation need."""
    shapes = {item.name: getattr(item.type, "shape", ()) for item in dataclasses.fields(mjw.Model)}
    return {name for name, shape in shapes.items() if shape and shape[0] == "*"}


def _sizes(model: mujoco.MjModel, contacts: int | None) -> tuple[int, int]:
    """Buffer sizes of one environment; with room for fewer contacts than a model needs, fewer rows too."""
    most, rows = buffer_sizes(model)
    if contacts is None:
        return most, rows
    return contacts, max(1, rows * contacts // most)
