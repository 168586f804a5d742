"""What every folder stands on and no motion is in: errors of one line, files from outside and files written whole,
threads, random streams and worker processes, typed configurations, whether a result is still valid."""

from .errors import MachineFault, MotionError
from .writing import write_atomic, write_json

__all__ = ["MachineFault", "MotionError", "write_atomic", "write_json"]
