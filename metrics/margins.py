"""How near a rollout comes to what the body can bear: torques and speeds over their limits, impacts over its weight.

A motion that only just works in simulation fails on a robot whose battery is low or whose floor is harder. Limits are
the body's own: torque limits of its servos, speeds of its motors where its description has them; the G1's are the most
that Unitree states of its motors (`sim/bodies/g1.py`). From `HARD` on a verdict warns.
"""

from __future__ import annotations

import numpy as np

from morphloop.sim import Body
from morphloop.sim.rollouts.loads import FootLoads

AT_LIMIT = 0.99
"""Share of its torque limit from which a servo is at it."""
HARD = {
    "torque_peak_ratio": 0.9,
    "torque_limit_ratio": 0.05,
    "ankle_torque_peak_ratio": 0.9,
    "speed_peak_ratio": 0.9,
    "impact_peak_bw": 3.0,
}
"""From where on a motion is hard on a robot. A tenth of the motors' limits kept back, and one control step in twenty at
a torque limit, are choices of ours. Nobody publishes an impact that a G1 bears: 3 body weights is the upper end of what
people's feet take when they run, 2 to 3 (Cavanagh and Lafortune 1980, J. Biomech. 13)."""
NO_MARGINS: dict[str, float | None] = dict.fromkeys(HARD)


def measure_margins(loads: FootLoads | None, body: Body) -> dict[str, float | None]:
    """The metrics of this module of what a rollout's feet bore and servos gave; None without it."""
    if loads is None:
        return dict(NO_MARGINS)
    share = loads.torque / body.model.actuator_forcerange[:, 1]
    speeds = [(k, dof.speed) for k, name in enumerate(body.servo_names) if (dof := body.description.dofs.get(name))]
    known = [(k, speed) for k, speed in speeds if speed]
    own, most = [k for k, _ in known], np.array([speed for _, speed in known])
    ankles = ankle_servos(body)
    return {
        "torque_peak_ratio": float(share.max()),
        "torque_limit_ratio": float((share >= AT_LIMIT).any(axis=1).mean()),
        "ankle_torque_peak_ratio": float(share[:, ankles].max()) if len(ankles) else None,
        "speed_peak_ratio": float((loads.spin[:, own] / most).max()) if known else None,
        "impact_peak_bw": float(loads.peak.max() / loads.weight),
    }


def ankle_servos(body: Body) -> np.ndarray:
    """(K,) servos of the joints between the knees and the first segments of the feet."""
    parents, joints = body.skeleton.parents, set()
    for _, knee, ankle in body.legs:
        joint = int(ankle)
        while joint not in (int(knee), 0, -1):
            joints.add(joint)
            joint = parents[joint]
    bodies = body.body_ids[sorted(joints)]
    driven = body.model.dof_bodyid[body.coordinates.servo_dofs]
    return np.flatnonzero(np.isin(driven, bodies))
