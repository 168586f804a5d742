"""What feet do frame by frame, for whoever draws them: the contacts that metrics are read on, as the page of `view`
colours them."""

from __future__ import annotations

import numpy as np

from morphloop.motion import Clip, JointTrack
from morphloop.sim.bodies.body import Body
from morphloop.sim.drawing.feet import AIR, SLIDE, SUNK, TOUCH, FootStates

from .contact import SLIDE_FAST
from .timelines import timeline


def foot_states(motion: Clip | JointTrack, body: Body) -> FootStates:
    """A foot touches where contact is read, slides where that is faster than 50 mm/s, and is sunk where it touches and
    the body's lowest point is under -5 mm. Errors as for `measure`."""
    line = timeline(motion, body)
    touching, sliding = line.contact[:, :2], np.nan_to_num(line.slide_speed[:, :2]) > SLIDE_FAST
    sunk = touching & line.penetrating[:, None]
    return FootStates(line.fps, np.select([sliding, sunk, touching], [SLIDE, SUNK, TOUCH], AIR))
