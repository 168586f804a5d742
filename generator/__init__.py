"""Generators: the protocol that the loop knows, the motion language model, and a folder of somebody else's outputs."""

from .adherence import Fact, adheres, named_facts, prompt_class
from .folder import FolderGenerator, load_generator
from .language_model import LanguageModelConfig, MotionLanguageModel, pretrained_backbone
from .liveliness import diversity, joint_speed, root_travel
from .motion_llm import MotionLLM, load_tokenizer, save_tokenizer
from .patterns import PATTERNS, Pattern, delay_pattern, parallel_pattern
from .protocol import FinetuneConfig, FinetuneReport, Generator, Seconds
from .sampling import Sampling
from .text import TextTokenizer
from .tokenizer import MotionTokenizer, TokenizerConfig
from .training import Budget, make_examples, train_language_model, train_tokenizer

__all__ = [
    "PATTERNS",
    "Budget",
    "Fact",
    "FinetuneConfig",
    "FinetuneReport",
    "FolderGenerator",
    "Generator",
    "LanguageModelConfig",
    "MotionLLM",
    "MotionLanguageModel",
    "MotionTokenizer",
    "Pattern",
    "Sampling",
    "Seconds",
    "TextTokenizer",
    "TokenizerConfig",
    "adheres",
    "delay_pattern",
    "diversity",
    "joint_speed",
    "load_generator",
    "load_tokenizer",
    "make_examples",
    "named_facts",
    "parallel_pattern",
    "pretrained_backbone",
    "prompt_class",
    "root_travel",
    "save_tokenizer",
    "train_language_model",
    "train_tokenizer",
]
