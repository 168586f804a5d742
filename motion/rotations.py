"""Quaternion algebra, w x y z, for NumPy arrays and torch tensors alike.

Every function works on the last axis, broadcasts over the leading ones and returns the type that it was given.
Angles are radians. A rotation vector is axis times angle.
"""

from __future__ import annotations

from typing import Any

from array_api_compat import array_namespace

Array = Any
"""A NumPy array or a torch tensor."""

EPS = 1e-12


def quat_mul(a: Array, b: Array) -> Array:
    """Hamilton product a b: first rotate by b, then by a. Shapes (..., 4)."""
    xp = array_namespace(a, b)
    aw, ax, ay, az = a[..., 0], a[..., 1], a[..., 2], a[..., 3]
    bw, bx, by, bz = b[..., 0], b[..., 1], b[..., 2], b[..., 3]
    return xp.stack(
        [
            aw * bw - ax * bx - ay * by - az * bz,
            aw * bx + ax * bw + ay * bz - az * by,
            aw * by - ax * bz + ay * bw + az * bx,
            aw * bz + ax * by - ay * bx + az * bw,
        ],
        axis=-1,
    )


def quat_conj(q: Array) -> Array:
    """Conjugate, the inverse of a unit quaternion. Shape (..., 4)."""
    xp = array_namespace(q)
    return xp.concat([q[..., :1], -q[..., 1:]], axis=-1)


def quat_normalize(q: Array) -> Array:
    """Unit quaternion. Shape (..., 4)."""
    xp = array_namespace(q)
    return q / xp.clip(xp.linalg.vector_norm(q, axis=-1, keepdims=True), min=EPS)


def _cross(a: Array, b: Array) -> Array:
    xp = array_namespace(a, b)
    ax, ay, az = a[..., 0], a[..., 1], a[..., 2]
    bx, by, bz = b[..., 0], b[..., 1], b[..., 2]
    return xp.stack([ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx], axis=-1)


def quat_rotate(q: Array, v: Array) -> Array:
    """Rotate vectors (..., 3) by unit quaternions (..., 4)."""
    xyz = q[..., 1:]
    t = 2.0 * _cross(xyz, v)
    return v + q[..., :1] * t + _cross(xyz, t)


def quat_from_rotvec(rotvec: Array) -> Array:
    """Exponential map. (..., 3) to (..., 4)."""
    xp = array_namespace(rotvec)
    angle = xp.linalg.vector_norm(rotvec, axis=-1, keepdims=True)
    half = 0.5 * angle
    small = angle < 1e-6
    scale = xp.where(small, 0.5 - angle**2 / 48.0, xp.sin(half) / xp.where(small, xp.ones_like(angle), angle))
    return xp.concat([xp.cos(half), rotvec * scale], axis=-1)


def quat_to_rotvec(q: Array) -> Array:
    """Logarithm with the angle in [0, pi]. (..., 4) to (..., 3)."""
    xp = array_namespace(q)
    q = xp.where(q[..., :1] < 0, -q, q)
    sin_half = xp.linalg.vector_norm(q[..., 1:], axis=-1, keepdims=True)
    angle = 2.0 * xp.atan2(sin_half, q[..., :1])
    small = sin_half < 1e-6
    scale = xp.where(small, 2.0 + sin_half**2 / 3.0, angle / xp.where(small, xp.ones_like(angle), sin_half))
    return q[..., 1:] * scale


def quat_angle(a: Array, b: Array) -> Array:
    """Geodesic angle between two rotations, in [0, pi]. Shape (...)."""
    xp = array_namespace(a, b)
    return xp.linalg.vector_norm(quat_to_rotvec(quat_mul(quat_conj(a), b)), axis=-1)


def quat_to_matrix(q: Array) -> Array:
    """(..., 4) to rotation matrices (..., 3, 3)."""
    xp = array_namespace(q)
    w, x, y, z = q[..., 0], q[..., 1], q[..., 2], q[..., 3]
    rows = [
        1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y),
        2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x),
        2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y),
    ]  # fmt: skip
    return xp.reshape(xp.stack(rows, axis=-1), (*q.shape[:-1], 3, 3))


def quat_from_matrix(m: Array) -> Array:
    """Rotation matrices (..., 3, 3) to quaternions (..., 4) with w >= 0.

    Takes the best conditioned of the four classical forms (Shepperd 1978).
    """
    xp = array_namespace(m)
    m00, m11, m22 = m[..., 0, 0], m[..., 1, 1], m[..., 2, 2]
    w2, x2, y2, z2 = 1 + m00 + m11 + m22, 1 + m00 - m11 - m22, 1 - m00 + m11 - m22, 1 - m00 - m11 + m22
    a, b, c = m[..., 2, 1] - m[..., 1, 2], m[..., 0, 2] - m[..., 2, 0], m[..., 1, 0] - m[..., 0, 1]
    d, e, f = m[..., 0, 1] + m[..., 1, 0], m[..., 0, 2] + m[..., 2, 0], m[..., 1, 2] + m[..., 2, 1]
    forms = xp.stack(
        [
            xp.stack([w2, a, b, c], axis=-1),
            xp.stack([a, x2, d, e], axis=-1),
            xp.stack([b, d, y2, f], axis=-1),
            xp.stack([c, e, f, z2], axis=-1),
        ],
        axis=-2,
    )
    best = xp.argmax(xp.stack([w2, x2, y2, z2], axis=-1), axis=-1)
    chosen = xp.sum(xp.where(xp.arange(4)[:, None] == best[..., None, None], forms, xp.zeros_like(forms)), axis=-2)
    q = quat_normalize(chosen)
    return xp.where(q[..., :1] < 0, -q, q)


def quat_to_6d(q: Array) -> Array:
    """First two columns of the rotation matrix, one after the other (Zhou et al. 2019). (..., 4) to (..., 6)."""
    xp = array_namespace(q)
    m = quat_to_matrix(q)
    return xp.concat([m[..., :, 0], m[..., :, 1]], axis=-1)


def quat_from_6d(r: Array) -> Array:
    """Gram-Schmidt on two columns. (..., 6) to (..., 4)."""
    xp = array_namespace(r)
    a, b = r[..., :3], r[..., 3:]
    x = a / xp.clip(xp.linalg.vector_norm(a, axis=-1, keepdims=True), min=EPS)
    b = b - xp.sum(x * b, axis=-1, keepdims=True) * x
    y = b / xp.clip(xp.linalg.vector_norm(b, axis=-1, keepdims=True), min=EPS)
    return quat_from_matrix(xp.stack([x, y, _cross(x, y)], axis=-1))


def quat_slerp(a: Array, b: Array, t: Array) -> Array:
    """Spherical interpolation along the shorter arc. a, b (..., 4); t (...) in [0, 1]."""
    step = quat_to_rotvec(quat_mul(quat_conj(a), b))
    return quat_mul(a, quat_from_rotvec(step * t[..., None]))


def quat_between(u: Array, v: Array) -> Array:
    """Smallest rotation that takes direction u to direction v. (..., 3) to (..., 4).

    For opposite directions any perpendicular axis is right; the one nearest to a coordinate axis is taken.
    """
    xp = array_namespace(u, v)
    u = u / xp.clip(xp.linalg.vector_norm(u, axis=-1, keepdims=True), min=EPS)
    v = v / xp.clip(xp.linalg.vector_norm(v, axis=-1, keepdims=True), min=EPS)
    w = 1.0 + xp.sum(u * v, axis=-1, keepdims=True)
    zero = xp.zeros_like(u[..., 0])
    along_x = xp.abs(u[..., :1]) > 0.9
    perpendicular = xp.where(
        along_x, xp.stack([-u[..., 1], u[..., 0], zero], axis=-1), xp.stack([zero, -u[..., 2], u[..., 1]], axis=-1)
    )
    opposite = w < 1e-8
    q = xp.concat([xp.where(opposite, xp.zeros_like(w), w), xp.where(opposite, perpendicular, _cross(u, v))], axis=-1)
    return quat_normalize(q)


def heading(q: Array) -> Array:
    """Yaw of the rotated X axis about the vertical. (..., 4) to (...)."""
    xp = array_namespace(q)
    w, x, y, z = q[..., 0], q[..., 1], q[..., 2], q[..., 3]
    return xp.atan2(2 * (x * y + w * z), 1 - 2 * (y * y + z * z))


def quat_from_heading(yaw: Array) -> Array:
    """Rotation about the vertical by `yaw`. (...) to (..., 4)."""
    xp = array_namespace(yaw)
    zero = xp.zeros_like(yaw)
    return xp.stack([xp.cos(0.5 * yaw), zero, zero, xp.sin(0.5 * yaw)], axis=-1)


def angular_velocity(q: Array, fps: float) -> Array:
    """World-frame angular velocity of rotations over time, rad/s. (T, ..., 4) to (T, ..., 3).

    Forward differences; the last value is repeated. One frame gives zeros.
    """
    xp = array_namespace(q)
    if q.shape[0] < 2:
        return xp.zeros_like(q[..., 1:])
    step = quat_to_rotvec(quat_mul(q[1:], quat_conj(q[:-1]))) * fps
    return xp.concat([step, step[-1:]], axis=0)


def linear_velocity(x: Array, fps: float) -> Array:
    """Forward differences over time, per second; the last value is repeated. (T, ...) to (T, ...)."""
    xp = array_namespace(x)
    if x.shape[0] < 2:
        return xp.zeros_like(x)
    step = (x[1:] - x[:-1]) * fps
    return xp.concat([step, step[-1:]], axis=0)


def quat_continuous(q: Array) -> Array:
    """The same rotations over time with signs such that no two successive ones are more than half a turn of the sphere
    apart; the first stays. (T, ..., 4) to (T, ..., 4)."""
    xp = array_namespace(q)
    flips = xp.astype(xp.sum(q[1:] * q[:-1], axis=-1) < 0, q.dtype)
    odd = xp.concat([xp.zeros_like(q[:1, ..., 0]), xp.cumulative_sum(flips, axis=0)], axis=0) % 2
    return q * (1.0 - 2.0 * odd)[..., None]
