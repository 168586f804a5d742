"""How an imitator is trained: its network, its trainers and its priors."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from morphloop.envs.config import PREPROCESSING, ConditioningConfig, TaskConfig
from morphloop.sim.physics.config import Backend, Variation

from ..world_model.config import WorldModelConfig

WIDTHS = (384, 256)
"""Of a policy's layers, unless somebody asks for others."""


@dataclass(frozen=True)
class PpoConfig:
    """PPO's own options; discount and clipping as in Morph's release."""

    steps: int = 32
    """Control steps of every environment between updates."""
    minibatch: int = 2048
    """Samples in a gradient step."""
    epochs: int = 3
    """Passes over the samples of an update."""
    learning_rate: float = 5e-5
    """Of Adam; Morph's is 2e-5 to 4e-5. At 1e-4 an update of a trained policy clipped more than half of the samples."""
    target_kl: float = 0.1
    """Change of the policy, over all servos together, beyond which an update takes no more gradient steps; 0 for no
    such bound."""
    gamma: float = 0.97
    """Discount: about one second at 30 Hz."""
    gae_lambda: float = 0.95
    """Of the generalised advantage estimate."""
    clip: float = 0.2
    """Of the probability ratio."""
    entropy: float = 0.0
    """Weight of low entropy."""


@dataclass(frozen=True)
class RslConfig:
    """Options of rsl_rl's PPO; in the line of mjlab's for tracking at thousands of environments, with three times
    the gradient steps a sample: physics of a 75-degree-of-freedom body costs more than they do."""

    steps: int = 16
    """Control steps of every environment between updates."""
    minibatches: int = 8
    """Parts that the samples of an update are split into."""
    epochs: int = 5
    """Passes over the samples of an update."""
    learning_rate: float = 3e-4
    """Of Adam, at first."""
    desired_kl: float = 0.06
    """Change of the policy in an update that the learning rate is steered to; 0 keeps the rate. It is summed over 69
    servos: at mjlab's 0.01 the rate fell to 2e-5, at 0.06 it stayed near 1e-4. The two were not compared alone."""
    gamma: float = 0.97
    """Discount: about one second at 30 Hz."""
    gae_lambda: float = 0.95
    """Of the generalised advantage estimate."""
    clip: float = 0.2
    """Of the probability ratio."""
    entropy: float = 0.001
    """Weight of low entropy; at mjlab's 0.005 the noise of 69 servos grows."""


PriorKind = Literal["none", "vae", "adversarial"]


@dataclass(frozen=True)
class PriorConfig:
    """What is rewarded beside tracking, and how it is learned."""

    kind: PriorKind = "none"
    """Morph's motion VAE, AMP's discriminator, or none."""
    weight: float = 0.5
    """Largest reward is half of it with `vae`, all of it with `adversarial`; tracking gives at most 1."""
    temperature: float = 1.0
    """Of the vae's sigmoid, in units of the median distance of clips whose joints are shaken by 5 mm."""
    steps: int = 2000
    """Gradient steps of the vae before training."""
    batch: int = 512
    """Transitions in a gradient step."""
    learning_rate: float = 5e-4
    """Of Adam."""
    online_steps: int = 8
    """Gradient steps of the discriminator for an update of the policy."""
    gradient_penalty: float = 5.0
    """Weight of the discriminator's squared gradient at the clips' transitions; Morph's release has 5."""
    seed: int = 0


TrainerKind = Literal["sb3", "rsl", "worldmodel"]


@dataclass(frozen=True)
class ImitatorConfig:
    """How an imitator is trained."""

    envs: int = 256
    """Parallel environments; of every process under torchrun."""
    steps: int = 20_000_000
    """Control steps of PPO or worldmodel, those before a restart included: about an hour of PPO on two cores; 0 for
    none."""
    limit_s: float | None = None
    """Seconds after which it is cut short, evaluations and those before a restart included; none for never."""
    seed: int = 0
    """Of the weights, the starts, the exploration noise, the generated clips and the variations."""
    checkpoint_s: float = 300.0
    """Seconds between checkpoints, each with an evaluation."""
    start: str | None = None
    """Policy file to start from, a distilled one say."""
    reveal: bool = False
    """Let PPO use all of the observation where the policy it starts from was distilled from a part of it."""
    hidden: tuple[int, ...] = WIDTHS
    """Widths of a new policy's layers."""
    trainer: TrainerKind = "sb3"
    """PPO by sb3 on the CPU or rsl on CUDA; worldmodel improves the policy by gradients through a learned model."""
    backend: Backend = "cpu"
    """Physics: cpu is MuJoCo in double precision, warp is MuJoCo Warp."""
    device: str | None = None
    """Of backend warp: cuda:0 and so on, or cpu; the process's own GPU if not given."""
    ppo: PpoConfig = field(default_factory=PpoConfig)
    """Options of trainer sb3."""
    rsl: RslConfig = field(default_factory=RslConfig)
    """Options of trainer rsl."""
    worldmodel: WorldModelConfig = field(default_factory=WorldModelConfig)
    """Options of trainer worldmodel."""
    task: TaskConfig = field(default_factory=lambda: TaskConfig(push=0.15))
    """The tracking task."""
    prior: PriorConfig = field(default_factory=PriorConfig)
    """Reward for moving as the clips do. Its seed is the training's."""
    conditioning: ConditioningConfig = PREPROCESSING
    """What is done to the clips before they are tracked, as in projection."""
    vary: Variation = field(default_factory=Variation)
    """Ranges of friction, mass, gains and size, drawn once for every environment; nothing varies by default."""
