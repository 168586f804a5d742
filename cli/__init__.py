"""The one command, `morphloop`: a tree of subcommands, each a frozen dataclass whose fields are its flags.

What a command can be told is the configuration of what it calls, nested: an option is a field of the dataclass that
uses it, and has its default there. Such dataclasses stand in light modules, `config.py` of their folders, and a command
imports what does the work when it runs: help and usage errors need neither torch nor MuJoCo.
"""

from __future__ import annotations

import ast
import inspect
import io
import sys
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, replace
from difflib import get_close_matches
from importlib import import_module
from pathlib import Path
from shutil import copyfileobj
from tempfile import TemporaryDirectory
from typing import Any, Protocol

import tyro
from rich.table import Table

from morphloop import __version__
from morphloop.base import MotionError
from morphloop.base.terminal import Terminal, complain

from .bench import BenchMetrics
from .checks import check
from .config import overlay, short_help, spelt_out, take_config
from .console import BAD_INPUT, DONE, guarded
from .convert import Convert
from .demo import Demo
from .doctor import Doctor
from .examples import EXAMPLES
from .lineage import Lineage
from .loop import LoopReport, LoopResume, LoopStatus
from .retarget import Retarget
from .validate import Validate
from .verify import Verify

__all__ = ["main"]


class Command(Protocol):
    """What every subcommand's dataclass has."""

    def run(self) -> int:
        """Do the work; returns the exit code."""
        ...


@dataclass(frozen=True)
class OnDemand:
    """A command whose module is imported when it is run. module: of this package; name: of the command in it."""

    module: str
    name: str

    def load(self) -> type[Command]:
        """The command, with the configurations that it nests."""
        return getattr(import_module(f".{self.module}", __package__), self.name)

    @property
    def doc(self) -> str:
        """Its docstring, read from the source without running it."""
        tree = ast.parse(Path(__file__).with_name(f"{self.module}.py").read_text(encoding="utf-8"))
        (found,) = (node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == self.name)
        return ast.get_docstring(found) or ""


Leaf = type[Command] | OnDemand
Tree = dict[str, "Leaf | Tree"]

COMMANDS: Tree = {
    "demo": Demo,
    "doctor": Doctor,
    "convert": Convert,
    "validate": Validate,
    "retarget": Retarget,
    "evaluate": OnDemand("evaluate", "Evaluate"),
    "render": OnDemand("render", "Render"),
    "view": OnDemand("view", "View"),
    "project": OnDemand("project", "Project"),
    "generate": OnDemand("generate", "Generate"),
    "train": {
        "tokenizer": OnDemand("train_generator", "TrainTokenizer"),
        "generator": OnDemand("train_generator", "TrainGenerator"),
        "imitator": OnDemand("train_imitator", "TrainImitator"),
        "evaluator": OnDemand("train_evaluator", "TrainEvaluator"),
    },
    "loop": {"run": OnDemand("loop_run", "LoopRun"), "resume": LoopResume, "status": LoopStatus, "report": LoopReport},
    "models": {"fetch": OnDemand("models", "ModelsFetch"), "list": OnDemand("models", "ModelsList")},
    "export": OnDemand("export_policy", "Export"),
    "body": {"check": OnDemand("body", "BodyCheck")},
    "lineage": Lineage,
    "verify": Verify,
    "completion": OnDemand("completion", "Completion"),
    "bench": {
        "metrics": BenchMetrics,
        "imitator": OnDemand("bench_imitator", "BenchImitator"),
        "generator": OnDemand("bench_generator", "BenchGenerator"),
    },
}

STDOUT = Path("-")
"""What `--json` takes for standard output."""
FIRST = ("evaluate", "project", "view", "loop run")
"""Commands whose examples end the help of the whole."""
CONFIG_HELP = (
    "--config FILE lays the values of a YAML or JSON file, such as one that the command wrote beside its output, over "
    "the defaults below; flags win over both."
)


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point. Returns 0 done, 1 a gate or check failed, 2 bad input or usage, 130 interrupted."""
    args = list(sys.argv[1:] if argv is None else argv)
    return guarded(lambda: _dispatch(args))


def _dispatch(args: list[str]) -> int:
    for arg in args:
        if not arg or (arg.startswith("--") and arg.partition("=")[1:] == ("=", "")):
            raise MotionError(f"'{arg}': an empty value, expected a path, a number or a text")
    node: Leaf | Tree = COMMANDS
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
            complain(f"no command '{args[0]}'{_suggestion(args[0], node, words)} expected one of {', '.join(node)}")
        else:
            _list_commands(node, words, Terminal(stderr=True))
        return BAD_INPUT
    return _run(node.load() if isinstance(node, OnDemand) else node, words, args)


def _run(command: type[Command], words: list[str], args: list[str]) -> int:
    moved: dict[str, str] = getattr(command, "MOVED", {})
    for flag in (arg.partition("=")[0].replace("_", "-") for arg in args):
        if flag in moved:
            raise MotionError(f"{flag}: {moved[flag]}")
    args, config = take_config(args)
    default = tyro.MISSING_NONPROP if config is None else overlay(command, config)
    description = [inspect.getdoc(command) or "", CONFIG_HELP, short_help(command)]
    held = _Held()
    try:
        with redirect_stderr(held):
            chosen = tyro.cli(
                command,
                prog=" ".join(words),
                args=spelt_out(command, args),
                default=default,
                description="\n\n".join(filter(None, description)),
            )
    except SystemExit as stop:
        refused = _refusal(stop)
        if refused is not None:
            raise refused from None
        sys.stderr.write(held.getvalue())
        if stop.code == 0 and {"-h", "--help"} & {*args}:
            _print_examples(EXAMPLES.get(" ".join(words[1:]), ()))
        return stop.code if isinstance(stop.code, int) else BAD_INPUT
    check(chosen)
    return _json_to_stdout(chosen) if getattr(chosen, "json", None) == STDOUT else chosen.run()


def _json_to_stdout(chosen: Any) -> int:
    """Run a command whose --json is `-`: its figures go to standard output, what it tells besides to standard error."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "out.json"
        with redirect_stdout(sys.stderr):
            code = replace(chosen, json=path).run()
        if path.exists():
            with path.open(encoding="utf-8") as stream:
                copyfileobj(stream, sys.stdout)
    return code


def _suggestion(word: str, node: Tree, words: list[str]) -> str:
    """The command that a mistyped word is nearest to, here or, from the top, below a branch; a comma for none."""
    meant = {name: name for name in node}
    if words == ["morphloop"]:
        meant |= {path.rpartition(" ")[2]: path for path, _ in leaves(node) if path.rpartition(" ")[2] not in node}
    close = get_close_matches(word, meant, 1)
    return f", did you mean '{' '.join([*words[1:], meant[close[0]]])}'?" if close else ","


class _Held(io.StringIO):
    """What is said of bad usage, held back until it is known whether a configuration refused a value in one line."""

    def isatty(self) -> bool:
        return sys.__stderr__ is not None and sys.__stderr__.isatty()


def _refusal(error: BaseException | None) -> MotionError | None:
    """The words of a configuration that refused its values, from what ended the parsing."""
    while error is not None and not isinstance(error, MotionError):
        error = error.__context__
    return error


def _list_commands(node: Tree, words: list[str], console: Terminal) -> None:
    """The help of a branch: its commands with the first sentence of what each does."""
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for words_below, command in leaves(node):
        doc = command.doc if isinstance(command, OnDemand) else inspect.getdoc(command) or ""
        table.add_row(words_below, first_sentence(doc))
    console.print(f"usage: {' '.join(words)} COMMAND [--help] [--config FILE] ...\n", highlight=False)
    console.print(table)
    path = " ".join(words[1:])
    below = [lines[0] for name, lines in EXAMPLES.items() if path and lines and name.startswith(f"{path} ")]
    _print_examples(below or [line for name in FIRST for line in EXAMPLES.get(name, ())[:1]], console)


def first_sentence(doc: str) -> str:
    """What a command does, without a full stop: its docstring's first sentence, on however many lines."""
    return " ".join(doc.partition("\n\n")[0].split()).partition(". ")[0].rstrip(".")


def _print_examples(lines: Sequence[str], console: Terminal | None = None) -> None:
    """The end of a help, nothing where there are none."""
    if not lines:
        return
    console = console or Terminal()
    console.print("\nexamples:", highlight=False)
    for line in lines:
        console.print(f"  {line}", highlight=False, soft_wrap=True)


def leaves(node: Tree) -> list[tuple[str, Leaf]]:
    """Every command below a branch, with the words that lead to it from there."""
    found: list[tuple[str, Leaf]] = []
    for word, below in node.items():
        if isinstance(below, dict):
            found += [(f"{word} {more}", command) for more, command in leaves(below)]
        else:
            found.append((word, below))
    return found
