"""The imitator: policies, training, projection and the training-free refiner."""

from .cloning import CloningConfig, evaluate_policy, update_policy
from .policy import Policy, load_policy, new_policy
from .ppo import PpoConfig, train_ppo
from .projection import Projection, ProjectionConfig, project_clips
from .refiner import Refiner, RefinerConfig
from .training import ImitatorConfig, train_imitator

__all__ = [
    "CloningConfig",
    "ImitatorConfig",
    "Policy",
    "PpoConfig",
    "Projection",
    "ProjectionConfig",
    "Refiner",
    "RefinerConfig",
    "evaluate_policy",
    "load_policy",
    "new_policy",
    "project_clips",
    "train_imitator",
    "train_ppo",
    "update_policy",
]
