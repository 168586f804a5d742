"""Generators: the protocol that the loop knows, the motion language model, and a folder of somebody else's outputs."""

from .folder import FolderGenerator, load_generator
from .language_model import LanguageModelConfig, MotionLanguageModel, pretrained_backbone
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
    "delay_pattern",
    "load_generator",
    "load_tokenizer",
    "make_examples",
    "parallel_pattern",
    "pretrained_backbone",
    "save_tokenizer",
    "train_language_model",
    "train_tokenizer",
]
