# pyright: reportIndexIssue=false, reportOperatorIssue=false, reportCallIssue=false, reportArgumentType=false
# Why: a kernel is written in Warp's own language, whose arrays and vectors are no Python containers to pyright.
"""Contact frames on `mujoco_warp` as MuJoCo has them."""

from typing import Any

import mujoco
import warp as wp

PLANE = wp.constant(int(mujoco.mjtGeom.mjGEOM_PLANE))
CAPSULE = wp.constant(int(mujoco.mjtGeom.mjGEOM_CAPSULE))
SMALLEST = wp.constant(1e-6)
"""Length of a capsule's projection on the plane under which it stands upright and has no direction."""


@wp.kernel(enable_backward=False)
def _align_capsules(
    found: wp.array[int],
    kinds: wp.array[int],
    geoms: wp.array[wp.vec2i],
    worlds: wp.array[int],
    turns: wp.array2d[wp.mat33],
    frames: wp.array[wp.mat33],
):
    """Lay the first tangent of contacts between a plane and a capsule along the capsule, as MuJoCo does.

    mujoco_warp 3.17 does so only for a capsule within 60 degrees of the plane, and a friction pyramid that is turned
    gives another motion: up to 27 rad/s apart after one control step in falls.
    """
    k = wp.tid()
    if k >= found[0]:
        return
    pair = geoms[k]
    if pair[0] < 0 or pair[1] < 0 or kinds[pair[0]] != PLANE or kinds[pair[1]] != CAPSULE:
        return
    turn, frame = turns[worlds[k], pair[1]], frames[k]
    axis = wp.vec3(turn[0, 2], turn[1, 2], turn[2, 2])
    normal = wp.vec3(frame[0, 0], frame[0, 1], frame[0, 2])
    y = axis - normal * wp.dot(axis, normal)
    length = wp.length(y)
    if length < SMALLEST:
        return
    y = y / length
    z = wp.cross(normal, y)
    frames[k] = wp.mat33(normal[0], normal[1], normal[2], y[0], y[1], y[2], z[0], z[1], z[2])


def align_capsules(model: Any, data: Any) -> None:
    """Give the contacts just found MuJoCo's tangents; for mujoco_warp's hook after collision detection."""
    contact = data.contact
    wp.launch(
        _align_capsules,
        dim=data.naconmax,
        inputs=[data.nacon, model.geom_type, contact.geom, contact.worldid, data.geom_xmat, contact.frame],
    )
