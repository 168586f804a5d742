"""The loop itself: stages that can be killed and resumed, selection with reasons, the guard, lineage, the report."""

from typing import TYPE_CHECKING

from morphloop.base.on_demand import names_of

if TYPE_CHECKING:
    from .ancestry import Ancestor, lineage
    from .config import LoopConfig, LoopRules, SelectionConfig, read_config
    from .guard import compare_generators
    from .guard_samples import HeldOut
    from .links import run_faults
    from .project_folder import ProjectFolder
    from .prompts import read_prompts
    from .records import broken_links, evidence, hash_rows, load_record, measured, save_projection, sealed
    from .report import write_report
    from .rounds import resume_run, start_run
    from .selection import REASONS, Evidence, Verdict, judge, tally
    from .stages import STAGES, Finished, run_stage
    from .status import REPORT, RoundResult, finished_rounds, is_begun
    from .steps.select import summaries
    from .verification import Checked, verify
else:
    __getattr__ = names_of(
        __name__,
        {
            "ancestry": ("Ancestor", "lineage"),
            "config": ("LoopConfig", "LoopRules", "SelectionConfig", "read_config"),
            "guard": ("compare_generators",),
            "guard_samples": ("HeldOut",),
            "links": ("run_faults",),
            "project_folder": ("ProjectFolder",),
            "prompts": ("read_prompts",),
            "records": (
                "broken_links",
                "evidence",
                "hash_rows",
                "load_record",
                "measured",
                "save_projection",
                "sealed",
            ),
            "report": ("write_report",),
            "rounds": ("resume_run", "start_run"),
            "selection": ("REASONS", "Evidence", "Verdict", "judge", "tally"),
            "stages": ("STAGES", "Finished", "run_stage"),
            "status": ("REPORT", "RoundResult", "finished_rounds", "is_begun"),
            "steps.select": ("summaries",),
            "verification": ("Checked", "verify"),
        },
    )

__all__ = [
    "REASONS",
    "REPORT",
    "STAGES",
    "Ancestor",
    "Checked",
    "Evidence",
    "Finished",
    "HeldOut",
    "LoopConfig",
    "LoopRules",
    "ProjectFolder",
    "RoundResult",
    "SelectionConfig",
    "Verdict",
    "broken_links",
    "compare_generators",
    "evidence",
    "finished_rounds",
    "hash_rows",
    "is_begun",
    "judge",
    "lineage",
    "load_record",
    "measured",
    "read_config",
    "read_prompts",
    "resume_run",
    "run_faults",
    "run_stage",
    "save_projection",
    "sealed",
    "start_run",
    "summaries",
    "tally",
    "verify",
    "write_report",
]
