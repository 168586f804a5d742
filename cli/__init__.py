"""The one command, `morphloop`: a tree of subcommands, each a frozen dataclass whose fields are its flags.

This module and the modules of the commands import nothing heavy at the top, so that `--help` answers at once.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Sequence
from typing import Protocol

import tyro
from rich.table import Table

from morphloop import __version__
from morphloop.base import MotionError
from morphloop.base.terminal import Terminal, complain

from .bench import BenchMetrics
from .bench_imitator import BenchImitator
from .checks import check
from .config import overlay, take_config
from .console import BAD_INPUT, DONE, guarded
from .convert import Convert
from .demo import Demo
from .doctor import Doctor
from .evaluate import Evaluate
from .generate import Generate
from .lineage import Lineage
from .loop import LoopReport, LoopResume, LoopRun, LoopStatus
from .project import Project
from .train_generator import TrainGenerator, TrainTokenizer
from .train_imitator import TrainImitator
from .validate import Validate
from .verify import Verify

__all__ = ["main"]


class Command(Protocol):
    """What every subcommand's dataclass has."""

    def run(self) -> int:
        """Do the work; returns the exit code."""
        ...


Tree = dict[str, "type[Command] | Tree"]

COMMANDS: Tree = {
    "demo": Demo,
    "doctor": Doctor,
    "convert": Convert,
    "validate": Validate,
    "evaluate": Evaluate,
    "project": Project,
    "generate": Generate,
    "train": {"tokenizer": TrainTokenizer, "generator": TrainGenerator, "imitator": TrainImitator},
    "loop": {"run": LoopRun, "resume": LoopResume, "status": LoopStatus, "report": LoopReport},
    "lineage": Lineage,
    "verify": Verify,
    "bench": {"metrics": BenchMetrics, "imitator": BenchImitator},
}

CONFIG_HELP = "--config FILE.yaml lays the values of a file over the defaults below; flags win over both."


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point. Returns 0 done, 1 a gate or check failed, 2 bad input or usage, 130 interrupted."""
    args = list(sys.argv[1:] if argv is None else argv)
    return guarded(lambda: _dispatch(args))


def _dispatch(args: list[str]) -> int:
    for arg in args:
        if not arg or (arg.startswith("--") and arg.partition("=")[1:] == ("=", "")):
            raise MotionError(f"'{arg}': an empty value, expected a path, a number or a text")
    node: type[Command] | Tree = COMMANDS
    words = ["morphloop"]
    while isinstance(node, dict):
        if args and args[0] in node:
            words.append(args[0])
            node = node[args.pop(0)]
            continue
        if args and args[0] == "--version" and node is COMMANDS:
            print(f"morphloop {__version__}")
            return DONE
        if args and args[0] in ("-h", "--help"):
            _list_commands(node, words, Terminal())
            return DONE
        if args:
            complain(f"no command '{args[0]}', expected one of {', '.join(node)}")
        else:
            _list_commands(node, words, Terminal(stderr=True))
        return BAD_INPUT
    return _run(node, words, args)


def _run(command: type[Command], words: list[str], args: list[str]) -> int:
    moved: dict[str, str] = getattr(command, "MOVED", {})
    for flag in (arg.partition("=")[0].replace("_", "-") for arg in args):
        if flag in moved:
            raise MotionError(f"{flag}: {moved[flag]}")
    args, config = take_config(args)
    default = tyro.MISSING_NONPROP if config is None else overlay(command, config)
    try:
        chosen = tyro.cli(
            command,
            prog=" ".join(words),
            args=args,
            default=default,
            description=f"{inspect.getdoc(command)}\n\n{CONFIG_HELP}",
        )
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else BAD_INPUT
    check(chosen)
    return chosen.run()


def _list_commands(node: Tree, words: list[str], console: Terminal) -> None:
    """The help of a branch: its commands with the first line of what each does."""
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for words_below, command in _leaves(node):
        table.add_row(words_below, (inspect.getdoc(command) or "").split("\n")[0])
    console.print(f"usage: {' '.join(words)} COMMAND [--help] [--config FILE.yaml] ...\n", highlight=False)
    console.print(table)


def _leaves(node: Tree) -> list[tuple[str, type[Command]]]:
    found: list[tuple[str, type[Command]]] = []
    for word, below in node.items():
        if isinstance(below, dict):
            found += [(f"{word} {more}", command) for more, command in _leaves(below)]
        else:
            found.append((word, below))
    return found
