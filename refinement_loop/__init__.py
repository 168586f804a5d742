"""The loop itself: stages that can be killed and resumed, selection with reasons, the guard, lineage, the report."""

from .config import LoopConfig, read_config, read_prompts
from .guard import compare_generators
from .lineage import Ancestor, lineage
from .records import evidence, load_record, measured, save_projection
from .report import write_report
from .rounds import RoundResult, finished_rounds, is_begun, resume_run, start_run
from .selection import REASONS, Evidence, SelectionConfig, Verdict, judge, tally
from .stages import STAGES, Finished, run_stage
from .steps import summaries

__all__ = [
    "REASONS",
    "STAGES",
    "Ancestor",
    "Evidence",
    "Finished",
    "LoopConfig",
    "RoundResult",
    "SelectionConfig",
    "Verdict",
    "compare_generators",
    "evidence",
    "finished_rounds",
    "is_begun",
    "judge",
    "lineage",
    "load_record",
    "measured",
    "read_config",
    "read_prompts",
    "resume_run",
    "run_stage",
    "save_projection",
    "start_run",
    "summaries",
    "tally",
    "write_report",
]
