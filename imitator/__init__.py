"""The imitator: policies, training, projection and the training-free refiner."""

from .cloning import CloningConfig, evaluate_policy, update_policy
from .ilqr import IlqrConfig, IlqrRefiner
from .policy import Policy, load_policy, new_policy
from .ppo import PpoConfig, RslConfig, train_ppo
from .priors import Prior, PriorConfig, load_prior, make_prior
from .projection import Projection, ProjectionConfig, project_clips
from .refiner import Refiner, RefinerConfig
from .training import ImitatorConfig, train_imitator
from .training_log import Segment, hardest_segments, read_log

__all__ = [
    "CloningConfig",
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
    "evaluate_policy",
    "hardest_segments",
    "load_policy",
    "load_prior",
    "make_prior",
    "new_policy",
    "project_clips",
    "read_log",
    "train_imitator",
    "train_ppo",
    "update_policy",
]
