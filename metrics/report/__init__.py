"""Tables and pages about batches of motion: `evaluate` measures files, `compare` pairs two of them."""

from ..config import EvaluateConfig
from .compare import Comparison, compare, comparison_facts
from .evaluate import Evaluation, evaluate, write_evaluation
from .page import write_evaluation_page
from .terminal import print_comparison, print_evaluation

__all__ = [
    "Comparison",
    "EvaluateConfig",
    "Evaluation",
    "compare",
    "comparison_facts",
    "evaluate",
    "print_comparison",
    "print_evaluation",
    "write_evaluation",
    "write_evaluation_page",
]
