"""The default body in one table: geometry, mass, gains, torque limits and anatomical range of every joint.

Sources
- Rest offsets: `motion.skeleton.SMPL_OFFSETS`.
- Segment masses: shares of body mass after de Leva (1996, J. Biomech. 29), split over SMPL's segments; 70 kg in all.
- Gains: the SMPL humanoid of Morph's released imitator (hips and knees 500/50, ankles 400/40, toes 200/20) and, for the
  upper body, of PHC's; ankles are raised to 500/50 because two ankles must hold m g h = 620 N m/rad to stand.
- Torque limits: peak isometric and isokinetic torques of strong adults as tabulated by Anderson, Madigan and Nussbaum
  (2007, J. Biomech. 40), rounded up for the dynamic peaks of jumps.
- Ranges: normal joint motion after Norkin and White, "Measurement of Joint Motion", widened by about 15 degrees because
  a rotation vector's components are not clinical angles. They bound what a servo may be asked for.

Axes at rest are the world's: X forward, Y left, Z up. Lengths in metres, angles in degrees here and nowhere else.
"""

from __future__ import annotations

from dataclasses import dataclass

SOLE_HEIGHT = -0.945
"""Height of the soles at rest under the pelvis; 25 mm under the toe joints, a thin shoe."""


@dataclass(frozen=True)
class Geom:
    """A primitive in its joint's frame: a capsule from `start` to `end`, or an axis-aligned box between two corners.

    A sphere is a capsule whose ends coincide. radius: metres, 0 for a box.
    """

    start: tuple[float, float, float]
    end: tuple[float, float, float]
    radius: float = 0.0


@dataclass(frozen=True)
class JointRow:
    """One joint: mass of its segment (kg), servo stiffness (N m/rad) and damping (N m s/rad), torque limit (N m),
    range of each rotation-vector component (degrees, for a left-hand joint; the right side mirrors X and Z)."""

    mass: float
    kp: float
    kd: float
    torque: float
    x: tuple[float, float]
    y: tuple[float, float]
    z: tuple[float, float]


JOINTS: dict[str, JointRow] = {
    "hip": JointRow(9.0, 500, 50, 350, (-45, 75), (-145, 45), (-65, 65)),
    "knee": JointRow(3.1, 500, 50, 350, (-25, 25), (-15, 165), (-35, 35)),
    "ankle": JointRow(0.8, 500, 50, 250, (-45, 45), (-50, 65), (-45, 45)),
    "foot": JointRow(0.2, 200, 20, 60, (-20, 20), (-75, 45), (-20, 20)),
    "spine1": JointRow(7.0, 1000, 100, 400, (-40, 40), (-40, 60), (-40, 40)),
    "spine2": JointRow(6.5, 1000, 100, 400, (-35, 35), (-35, 50), (-35, 35)),
    "spine3": JointRow(8.0, 1000, 100, 400, (-35, 35), (-35, 50), (-35, 35)),
    "neck": JointRow(1.0, 300, 30, 60, (-45, 45), (-50, 60), (-60, 60)),
    "head": JointRow(4.4, 200, 20, 50, (-45, 45), (-50, 50), (-60, 60)),
    "collar": JointRow(1.5, 500, 50, 150, (-30, 50), (-35, 35), (-40, 40)),
    "shoulder": JointRow(1.9, 400, 40, 150, (-115, 120), (-110, 110), (-130, 130)),
    "elbow": JointRow(1.1, 300, 30, 100, (-110, 110), (-110, 110), (-165, 165)),
    "wrist": JointRow(0.3, 150, 15, 30, (-90, 90), (-90, 90), (-90, 90)),
    "hand": JointRow(0.15, 80, 8, 15, (-60, 60), (-60, 60), (-60, 60)),
}
"""By joint name without its side. The pelvis has no servo."""

PELVIS_MASS = 7.0
ARMATURE = 0.02
"""Rotor inertia added to each degree of freedom, kg m2 (Morph's release)."""

LIMB_RADIUS = {"hip": 0.070, "knee": 0.050, "collar": 0.045, "shoulder": 0.045, "elbow": 0.038, "wrist": 0.030}
"""Capsules from the joint to its child."""

TORSO: dict[str, Geom] = {
    "pelvis": Geom((-0.01, -0.065, -0.03), (-0.01, 0.065, -0.03), 0.095),
    "spine1": Geom((0.0, -0.055, 0.03), (0.0, 0.055, 0.03), 0.085),
    "spine2": Geom((0.0, -0.055, 0.03), (0.0, 0.055, 0.03), 0.090),
    "spine3": Geom((0.0, -0.065, 0.08), (0.0, 0.065, 0.08), 0.100),
    "neck": Geom((0.0, 0.0, 0.0), (0.03, 0.0, 0.06), 0.050),
    "head": Geom((0.01, 0.0, 0.06), (0.01, 0.0, 0.09), 0.090),
}
HAND_RADIUS = 0.035

FOOT_HEEL, FOOT_HALF_WIDTH, FOOT_TOP = -0.06, 0.045, 0.055
"""The foot box: from this far behind the ankle to the toe joint, and this high above the sole."""
TOE_REACH, TOE_HALF_WIDTH, TOE_RADIUS = 0.055, 0.030, 0.020
"""The toe: a capsule across, this far before the toe joint, resting on the sole plane."""


def base_name(joint: str) -> tuple[str, int]:
    """Name without the side, and the sign of the side: 1 left, -1 right, 0 neither."""
    if joint.startswith("left_"):
        return joint.removeprefix("left_"), 1
    if joint.startswith("right_"):
        return joint.removeprefix("right_"), -1
    return joint, 0
