"""The imitator: policies and their training, the trajectory optimiser, demonstrations, projection."""

from typing import TYPE_CHECKING

from morphloop.base.on_demand import names_of

if TYPE_CHECKING:
    from .demonstrations.config import (
        FURTHER,
        AugmentConfig,
        DemonstrationConfig,
        DistilConfig,
        UpdateConfig,
        WarmStartConfig,
    )
    from .demonstrations.demonstrations import Demonstration, load_demonstration, record_demonstrations
    from .demonstrations.distil import distil
    from .demonstrations.update import evaluate_policy, update_policy
    from .demonstrations.variations import variations
    from .demonstrations.warm_start import warm_start
    from .optimal_control.config import IlqrConfig
    from .optimal_control.ilqr import Ilqr
    from .projection.config import ProjectionConfig
    from .projection.project import Projection, project_clips
    from .training.config import ImitatorConfig, PpoConfig, PriorConfig, RslConfig
    from .training.log import Segment, hardest_segments, read_log
    from .training.policy import Policy, load_policy, new_policy
    from .training.ppo import train_ppo
    from .training.priors import Prior, load_prior, make_prior
    from .training.train import train_imitator
    from .world_model.config import WorldModelConfig
else:
    __getattr__ = names_of(
        __name__,
        {
            "demonstrations.config": (
                "AugmentConfig",
                "DemonstrationConfig",
                "DistilConfig",
                "FURTHER",
                "UpdateConfig",
                "WarmStartConfig",
            ),
            "demonstrations.demonstrations": (
                "Demonstration",
                "load_demonstration",
                "record_demonstrations",
            ),
            "demonstrations.distil": ("distil",),
            "demonstrations.update": (
                "evaluate_policy",
                "update_policy",
            ),
            "demonstrations.variations": ("variations",),
            "demonstrations.warm_start": ("warm_start",),
            "optimal_control.config": ("IlqrConfig",),
            "optimal_control.ilqr": ("Ilqr",),
            "projection.config": ("ProjectionConfig",),
            "projection.project": (
                "Projection",
                "project_clips",
            ),
            "training.config": (
                "ImitatorConfig",
                "PpoConfig",
                "PriorConfig",
                "RslConfig",
            ),
            "training.log": (
                "Segment",
                "hardest_segments",
                "read_log",
            ),
            "training.policy": (
                "Policy",
                "load_policy",
                "new_policy",
            ),
            "training.ppo": ("train_ppo",),
            "training.priors": (
                "Prior",
                "load_prior",
                "make_prior",
            ),
            "training.train": ("train_imitator",),
            "world_model.config": ("WorldModelConfig",),
        },
    )

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
    "WorldModelConfig",
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
