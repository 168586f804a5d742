"""Generators: the protocol that the loop knows, the motion language model, and a folder of somebody else's outputs."""

from typing import TYPE_CHECKING

from morphloop.base.on_demand import names_of

if TYPE_CHECKING:
    from .adherence import Fact, adheres, named_facts, prompt_class
    from .candidates import generate_best
    from .config import (
        BackboneSize,
        Budget,
        DiffusionConfig,
        FinetuneConfig,
        LanguageModelConfig,
        LatentModelConfig,
        OutsideConfig,
        Seconds,
        TokenizerConfig,
        TowerConfig,
        VaeConfig,
    )
    from .detokenizer import tunable
    from .diffusion import DiffusionHead
    from .dual_tower import DualTowerModel
    from .editing import check_instruction, make_edit_examples, pairs_for, sample_instructions
    from .facts import fact, holds
    from .folder import FolderGenerator, load_generator, load_tuned
    from .language_model import MotionLanguageModel, pretrained_backbone
    from .latent_llm import LatentLLM
    from .latent_model import LatentMotionModel
    from .latent_training import make_latent_examples, train_latent_model
    from .liveliness import diversity, joint_speed, root_travel
    from .motion_llm import MotionLLM
    from .new_tokenizer import take_over_codes
    from .outside import CommandFailed, CommandGenerator, PackageGenerator
    from .own import holds_vae, load_tokenizer, load_vae, save_tokenizer
    from .patterns import PATTERNS, Pattern, delay_pattern, flatten_pattern, parallel_pattern
    from .protocol import FinetuneReport, Generator
    from .reconstruction import Reconstruction, measure_reconstruction
    from .sampling import Sampling
    from .task_templates import instructions_for
    from .text import StatesOf, TextTokenizer
    from .tokenizer import MotionTokenizer
    from .tokenizer_training import train_tokenizer
    from .training import Joint, make_examples, train_language_model
    from .vae import MotionVAE
    from .vae_training import train_vae
else:
    __getattr__ = names_of(
        __name__,
        {
            "adherence": (
                "Fact",
                "adheres",
                "named_facts",
                "prompt_class",
            ),
            "candidates": ("generate_best",),
            "config": (
                "BackboneSize",
                "Budget",
                "DiffusionConfig",
                "FinetuneConfig",
                "LanguageModelConfig",
                "LatentModelConfig",
                "OutsideConfig",
                "Seconds",
                "TokenizerConfig",
                "TowerConfig",
                "VaeConfig",
            ),
            "detokenizer": ("tunable",),
            "diffusion": ("DiffusionHead",),
            "dual_tower": ("DualTowerModel",),
            "editing": (
                "check_instruction",
                "make_edit_examples",
                "pairs_for",
                "sample_instructions",
            ),
            "facts": ("fact", "holds"),
            "folder": (
                "FolderGenerator",
                "load_generator",
                "load_tuned",
            ),
            "language_model": (
                "MotionLanguageModel",
                "pretrained_backbone",
            ),
            "latent_llm": ("LatentLLM",),
            "latent_model": ("LatentMotionModel",),
            "latent_training": ("make_latent_examples", "train_latent_model"),
            "liveliness": (
                "diversity",
                "joint_speed",
                "root_travel",
            ),
            "motion_llm": ("MotionLLM",),
            "new_tokenizer": ("take_over_codes",),
            "outside": (
                "CommandFailed",
                "CommandGenerator",
                "PackageGenerator",
            ),
            "own": (
                "holds_vae",
                "load_tokenizer",
                "load_vae",
                "save_tokenizer",
            ),
            "patterns": (
                "PATTERNS",
                "Pattern",
                "delay_pattern",
                "flatten_pattern",
                "parallel_pattern",
            ),
            "protocol": (
                "FinetuneReport",
                "Generator",
            ),
            "reconstruction": (
                "Reconstruction",
                "measure_reconstruction",
            ),
            "sampling": ("Sampling",),
            "task_templates": ("instructions_for",),
            "text": (
                "StatesOf",
                "TextTokenizer",
            ),
            "tokenizer": ("MotionTokenizer",),
            "tokenizer_training": ("train_tokenizer",),
            "training": (
                "Joint",
                "make_examples",
                "train_language_model",
            ),
            "vae": ("MotionVAE",),
            "vae_training": ("train_vae",),
        },
    )

__all__ = [
    "PATTERNS",
    "BackboneSize",
    "Budget",
    "CommandFailed",
    "CommandGenerator",
    "DiffusionConfig",
    "DiffusionHead",
    "DualTowerModel",
    "Fact",
    "FinetuneConfig",
    "FinetuneReport",
    "FolderGenerator",
    "Generator",
    "Joint",
    "LanguageModelConfig",
    "LatentLLM",
    "LatentModelConfig",
    "LatentMotionModel",
    "MotionLLM",
    "MotionLanguageModel",
    "MotionTokenizer",
    "MotionVAE",
    "OutsideConfig",
    "PackageGenerator",
    "Pattern",
    "Reconstruction",
    "Sampling",
    "Seconds",
    "StatesOf",
    "TextTokenizer",
    "TokenizerConfig",
    "TowerConfig",
    "VaeConfig",
    "adheres",
    "check_instruction",
    "delay_pattern",
    "diversity",
    "fact",
    "flatten_pattern",
    "generate_best",
    "holds",
    "holds_vae",
    "instructions_for",
    "joint_speed",
    "load_generator",
    "load_tokenizer",
    "load_tuned",
    "load_vae",
    "make_edit_examples",
    "make_examples",
    "make_latent_examples",
    "measure_reconstruction",
    "named_facts",
    "pairs_for",
    "parallel_pattern",
    "pretrained_backbone",
    "prompt_class",
    "root_travel",
    "sample_instructions",
    "save_tokenizer",
    "take_over_codes",
    "train_language_model",
    "train_latent_model",
    "train_tokenizer",
    "train_vae",
    "tunable",
]
