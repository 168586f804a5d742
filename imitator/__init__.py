"""The imitator: policies and their training, the trajectory optimiser, demonstrations, projection."""

from .demonstrations.demonstrations import Demonstration, DemonstrationConfig, load_demonstration, record_demonstrations
from .demonstrations.distil import FURTHER, DistilConfig, distil
from .demonstrations.update import UpdateConfig, evaluate_policy, update_policy
from .demonstrations.variations import AugmentConfig, variations
from .demonstrations.warm_start import WarmStartConfig, warm_start
from .optimal_control.config import IlqrConfig
from .optimal_control.ilqr import Ilqr
from .projection.project import Projection, ProjectionConfig, project_clips
from .training.log import Segment, hardest_segments, read_log
from .training.policy import Policy, load_policy, new_policy
from .training.ppo import PpoConfig, RslConfig, train_ppo
from .training.priors import Prior, PriorConfig, load_prior, make_prior
from .training.train import ImitatorConfig, train_imitator

__all__ = [
    "FURTHER",
    "AugmentConfig",
    "Demonstration",
    "DemonstrationConfig",
    "DistilConfig",
    "Ilqr",
    "IlqrConfig",
    "ImitatorConfig",
    "Policy",
    "PpoConfig",
    "Prior",
    "PriorConfig",
    "Projection",
    "ProjectionConfig",
    "RslConfig",
    "Segment",
    "UpdateConfig",
    "WarmStartConfig",
    "distil",
    "evaluate_policy",
    "hardest_segments",
    "load_demonstration",
    "load_policy",
    "load_prior",
    "make_prior",
    "new_policy",
    "project_clips",
    "read_log",
    "record_demonstrations",
    "train_imitator",
    "train_ppo",
    "update_policy",
    "variations",
    "warm_start",
]
