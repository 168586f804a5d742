"""Tables and pages about batches of motion: `evaluate` measures files, `compare` pairs two of them."""

from ..config import EvaluateConfig
from .compare import Comparison, compare, comparison_facts
from .evaluate import Evaluation, evaluate, write_evaluation
from .page import write_evaluation_page
from .quality import dropped, rank_clips, ranking_facts
from .shards import merge_shards, shard_facts
from .terminal import print_comparison, print_evaluation, print_ranking

__all__ = [
    "Comparison",
    "EvaluateConfig",
    "Evaluation",
    "compare",
    "comparison_facts",
    "dropped",
    "evaluate",
    "merge_shards",
    "print_comparison",
    "print_evaluation",
    "print_ranking",
    "rank_clips",
    "ranking_facts",
    "shard_facts",
    "write_evaluation",
    "write_evaluation_page",
]
