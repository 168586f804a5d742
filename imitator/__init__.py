"""The imitator: policies, training, projection and the training-free refiner."""

from .augment import AugmentConfig, variations
from .distil import FURTHER, DistilConfig, distil
from .ilqr import IlqrConfig, IlqrRefiner
from .policy import Policy, load_policy, new_policy
from .ppo import PpoConfig, RslConfig, train_ppo
from .priors import Prior, PriorConfig, load_prior, make_prior
from .projection import Projection, ProjectionConfig, project_clips
from .refiner import Refiner, RefinerConfig
from .tapes import Tape, TapeConfig, load_tape, record_tapes
from .training import ImitatorConfig, train_imitator
from .training_log import Segment, hardest_segments, read_log
from .update import UpdateConfig, evaluate_policy, update_policy
from .warm_start import WarmStartConfig, warm_start

__all__ = [
    "FURTHER",
    "AugmentConfig",
    "DistilConfig",
    "IlqrConfig",
    "IlqrRefiner",
    "ImitatorConfig",
    "Policy",
    "PpoConfig",
    "Prior",
    "PriorConfig",
    "Projection",
    "ProjectionConfig",
    "Refiner",
    "RefinerConfig",
    "RslConfig",
    "Segment",
    "Tape",
    "TapeConfig",
    "UpdateConfig",
    "WarmStartConfig",
    "distil",
    "evaluate_policy",
    "hardest_segments",
    "load_policy",
    "load_prior",
    "load_tape",
    "make_prior",
    "new_policy",
    "project_clips",
    "read_log",
    "record_tapes",
    "train_imitator",
    "train_ppo",
    "update_policy",
    "variations",
    "warm_start",
]
