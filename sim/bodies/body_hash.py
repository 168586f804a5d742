"""What a body is known by: a hash of everything that makes it, whichever MuJoCo compiled it.

Names, tree, masses, inertias, geoms, sites, joints, tendons, servos with their gains, limits and ranges, sensors and
the options of the simulation count; what MuJoCo derives from them (bounding volumes, inverse weights, addresses) does
not, and neither do colours and the version of the library.

Some of the numbers are worked out by MuJoCo's compiler: masses of several geoms, a capsule's turn from its ends, the
principal axes of a segment. Another version may add them up in another order, and a last bit is no other body. So
every number counts to `DIGITS` significant digits, a quaternion and its negative are one, and inertia is taken as the
tensor in the body's own frame, where a symmetrical segment, whose principal axes are arbitrary, has but one. Fields
that are zero throughout say nothing, so that one which a version adds changes no hash.
"""

from __future__ import annotations

import hashlib

import mujoco
import numpy as np
from scipy.spatial.transform import Rotation

DIGITS, SINGLE_DIGITS = 10, 6
"""Significant digits of a number, and of one in single precision (meshes); 1e-12 and less is zero."""
_NONE = 1e-12

_OBJ = mujoco.mjtObj
_NAMED = {
    _OBJ.mjOBJ_BODY: "nbody",
    _OBJ.mjOBJ_JOINT: "njnt",
    _OBJ.mjOBJ_GEOM: "ngeom",
    _OBJ.mjOBJ_SITE: "nsite",
    _OBJ.mjOBJ_TENDON: "ntendon",
    _OBJ.mjOBJ_ACTUATOR: "nactuator",
    _OBJ.mjOBJ_SENSOR: "nsensor",
    _OBJ.mjOBJ_EQUALITY: "neq",
}
_QUATERNIONS = ("body_quat", "geom_quat", "site_quat")
_FIELDS = {
    "body": "parentid mocapid gravcomp plugin pos mass ipos",
    "jnt": "type bodyid pos axis limited range stiffness stiffnesspoly springyield margin solref solimp actfrclimited "
    "actfrcrange actgravcomp",
    "dof": "armature damping dampingpoly frictionloss solref solimp",
    "geom": "type bodyid contype conaffinity condim priority size pos friction solmix solref solimp margin gap fluid "
    "adhesion surfacevel dataid plugin",
    "site": "type bodyid size pos",
    "pair": "dim geom1 geom2 friction solref solreffriction solimp margin gap adhesion",
    "exclude": "signature",
    "mesh": "vertadr vertnum vert faceadr facenum face",
    "hfield": "adr nrow ncol size data",
    "tendon": "type adr num limited range lengthspring stiffness stiffnesspoly springyield damping dampingpoly "
    "armature frictionloss margin solref_lim solimp_lim solref_fri solimp_fri actfrclimited actfrcrange",
    "wrap": "type objid prm",
    "eq": "type obj1id obj2id objtype active0 data solref solimp",
    "actuator": "group trntype trnid gear cranklength dyntype gaintype biastype dynprm gainprm biasprm ctrllimited "
    "ctrlrange forcelimited forcerange actlimited actrange actearly actnum armature damping dampingpoly lengthrange "
    "delay history plugin",
    "sensor": "type objtype objid reftype refid intprm dim cutoff noise delay interval history plugin",
    "tree": "sleep_policy",
}
_WHOLE = ("qpos0", "qpos_spring", "plugin", "plugin_attr")
_OPTIONS = (
    "timestep integrator cone jacobian solver iterations tolerance ls_iterations ls_tolerance noslip_iterations "
    "noslip_tolerance ccd_iterations ccd_tolerance impratio gravity wind magnetic density viscosity o_margin o_solref "
    "o_solimp o_friction sdf_initpoints sdf_iterations sleep_tolerance disableflags enableflags disableactuator"
)

LEARNED_ON = {
    "28fe130570568022": "d096d8f6cde6bfd2",
    "47e89d79018422e7": "d096d8f6cde6bfd2",
    "9a46e9be5f5ff34b": "e617ec57c11d3631",
    "2742bfd249d7fec3": "e617ec57c11d3631",
}
"""Hashes of the built-in body, with ball joints and with hinges, while its feet crept (until 2026-11-28; the first of
each covered MuJoCo's own bytes of the model), and what they are now. It is the same body and moves by the same law, but
for contacts, so that a policy that learned on it drives it as it is. What was simulated with it does not replay."""


def model_hash(model: mujoco.MjModel) -> str:
    """The hash of a compiled model: 16 hexadecimal digits."""
    digest = hashlib.sha256()
    for kind, count in _NAMED.items():
        names = [mujoco.mj_id2name(model, kind, k) or "" for k in range(getattr(model, count))]
        digest.update(f"{kind.name} {names}\n".encode())
    for name in (*(f"{kind}_{field}" for kind, fields in _FIELDS.items() for field in fields.split()), *_WHOLE):
        _add(digest, name, getattr(model, name, 0))
    for name in _QUATERNIONS:
        _add(digest, name, _one_sign(getattr(model, name)))
    trace, tensor = _inertia(model)
    _add(digest, "inertia trace", trace)
    _add(digest, "inertia tensor", np.round(tensor, DIGITS))
    for name in _OPTIONS.split():
        _add(digest, f"option {name}", getattr(model.opt, name, 0))
    return digest.hexdigest()[:16]


def _add(digest: hashlib._Hash, name: str, values: object) -> None:
    """Take in a field as text, its trailing columns of zeros left out; nothing if all of it is zero."""
    array = np.asarray(values)
    number = array.dtype.kind == "f"
    if number:
        array = np.where(np.abs(array) <= _NONE, 0, array)
    if not array.any():
        return
    array = array.reshape(len(array) if array.ndim else 1, -1)
    array = array[:, : np.flatnonzero(array.any(axis=0))[-1] + 1]
    digits = DIGITS if array.itemsize > 4 else SINGLE_DIGITS
    words = [f"{x:.{digits - 1}e}" if number else str(int(x)) for x in array.ravel().tolist()]
    digest.update(f"{name} {array.shape} {' '.join(words)}\n".encode())


def _one_sign(quaternions: np.ndarray) -> np.ndarray:
    """(N, 4) the one of a quaternion and its negative whose first number that is not zero is positive."""
    clear = np.abs(quaternions) > 1e-9
    first = np.take_along_axis(quaternions, clear.argmax(axis=1)[:, None], axis=1)
    return np.where(first < 0, -quaternions, quaternions)


def _inertia(model: mujoco.MjModel) -> tuple[np.ndarray, np.ndarray]:
    """(N,) trace of each body's inertia, kg m2, and (N, 9) its tensor in the body's frame as a share of the trace."""
    turn = Rotation.from_quat(model.body_iquat, scalar_first=True).as_matrix()
    trace = model.body_inertia.sum(axis=1)
    share = np.where(trace[:, None] > _NONE, model.body_inertia / np.maximum(trace, _NONE)[:, None], 0.0)
    return trace, np.einsum("nij,nj,nkj->nik", turn, share, turn).reshape(-1, 9)
