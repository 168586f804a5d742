"""Pages and tables about batches of motion: `evaluate` measures files, the rest shows what it found."""

from .evaluate import EvaluateConfig, Evaluation, evaluate, write_evaluation
from .terminal import print_evaluation

__all__ = ["EvaluateConfig", "Evaluation", "evaluate", "print_evaluation", "write_evaluation"]
