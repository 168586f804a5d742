"""Bodies built in code, batched physics on CPU and GPU, rendering and replay."""

from .body import CONTROL_HZ, FEET, PHYSICS_HZ, SUBSTEPS, Body, SurfacePoints, default_body

__all__ = ["CONTROL_HZ", "FEET", "PHYSICS_HZ", "SUBSTEPS", "Body", "SurfacePoints", "default_body"]
