"""`morphloop completion SHELL`: what a shell needs to complete commands, flags and their choices."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import tyro

from .config import part_of, parts_of, short_names
from .console import DONE

PLAIN = ""
"""Stands for the arguments that are no flags, of a command that takes some of a few."""
BASH = """# morphloop: completion for bash; eval "$(morphloop completion bash)"
_morphloop() {
    local cur="${COMP_WORDS[COMP_CWORD]}" words="" k
    for ((k = 1; k < COMP_CWORD; k++)); do
        [[ "${COMP_WORDS[k]}" == -* ]] && break
        case "$words ${COMP_WORDS[k]}" in
@KNOWN@) words="$words ${COMP_WORDS[k]}" ;;
            *) break ;;
        esac
    done
    case "$words ${COMP_WORDS[COMP_CWORD-1]}" in
@CHOICES@
    esac
    if [[ "$cur" == -* ]]; then
        case "$words" in
@FLAGS@
        esac
        return
    fi
    case "$words" in
@BELOW@
        *) local IFS=$'\\n'; COMPREPLY=($(compgen -f -- "$cur")) ;;
    esac
}
complete -o filenames -F _morphloop morphloop
"""


Flags = dict[str, dict[str, tuple[str, ...]]]
"""By the words of a command its flags, and by flag the values that it takes, none where they are open."""


@dataclass(frozen=True)
class Completion:
    """Print a completion for the shell: commands, their flags, and the values of flags that have few.

    For bash and zsh `eval "$(morphloop completion bash)"` in the start file, `zsh` alike; fish reads a file of its own.
    """

    shell: Annotated[Literal["bash", "zsh", "fish"], tyro.conf.Positional]
    """The shell."""

    def run(self) -> int:
        from . import COMMANDS, OnDemand, leaves

        flags = {
            words: dict(flags_of(leaf.load() if isinstance(leaf, OnDemand) else leaf))
            for words, leaf in leaves(COMMANDS)
        }
        print({"bash": bash, "zsh": zsh, "fish": fish}[self.shell](flags), end="")
        return DONE


def flags_of(command: type) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Flags of a command as they are typed, each with its choices."""
    yield from (("--help", ()), ("--config", ()))
    for name in short_names(command):
        yield f"--{name.replace('_', '-')}", ()
    for above, part in parts_of(command):
        hints = get_type_hints(part, include_extras=True)
        for field in fields(part):
            hint = hints[field.name]
            if part_of(hint) is not None:
                continue
            if get_origin(hint) is Annotated and tyro.conf.Positional in get_args(hint):
                if choices(hint):
                    yield PLAIN, choices(hint)
                continue
            path = above + field.name
            yield f"--{path.replace('_', '-')}", choices(hint)
            if hint is bool:
                yield f"--{above.replace('_', '-')}no-{field.name.replace('_', '-')}", ()


def choices(hint: Any) -> tuple[str, ...]:
    """The values of a flag that takes one of a few."""
    if get_origin(hint) is Literal:
        return tuple(map(str, get_args(hint)))
    return tuple(value for part in get_args(hint) for value in choices(part))


def bash(flags: Flags) -> str:
    """The completion of bash, which zsh reads by its own emulation."""
    branches = below(flags)
    known = "|".join(sorted(f'" {words}"' for words in [*flags, *branches] if words))
    told = [
        f'" {words}") COMPREPLY=($(compgen -W "{" ".join(filter(None, own))}" -- "$cur")) ;;'
        for words, own in flags.items()
    ]
    taken = [
        f'" {words} {flag}") COMPREPLY=($(compgen -W "{" ".join(values)}" -- "$cur")); return ;;'
        for words, own in flags.items()
        for flag, values in own.items()
        if flag and values
    ]
    under = [
        f'"{" " if words else ""}{words}") COMPREPLY=($(compgen -W "{" ".join(names)}" -- "$cur")) ;;'
        for words, names in (branches | {words: own[PLAIN] for words, own in flags.items() if PLAIN in own}).items()
    ]
    places = {"@CHOICES@": taken, "@FLAGS@": told, "@BELOW@": under}
    text = BASH.replace("@KNOWN@", "            " + known)
    for place, lines in places.items():
        text = text.replace(place, "\n".join(f"        {line}" for line in lines))
    return text


def zsh(flags: Flags) -> str:
    """The same for zsh."""
    head = "autoload -Uz compinit bashcompinit\n(( $+functions[compdef] )) || compinit\nbashcompinit\n"
    return head + bash(flags).replace("completion bash)", "completion zsh)").replace("for bash;", "for zsh;")


def fish(flags: Flags) -> str:
    """The completion of fish, a line a command and flag."""
    lines = ["# morphloop: completion for fish", "complete -c morphloop -f -n '__fish_use_subcommand'"]
    for words, names in below(flags).items():
        at = _fish_at(words)
        lines += [f"complete -c morphloop -n '{at}' -f -a '{' '.join(names)}'"]
    for words, own in flags.items():
        at = _fish_at(words, done=True)
        for flag, values in own.items():
            if flag == PLAIN:
                lines.append(f"complete -c morphloop -n '{at}' -f -a '{' '.join(values)}'")
                continue
            line = f"complete -c morphloop -n '{at}' -l {flag.removeprefix('--')}"
            lines.append(line + (f" -x -a '{' '.join(values)}'" if values else ""))
    return "\n".join(lines) + "\n"


def _fish_at(words: str, done: bool = False) -> str:
    """The condition under which a line counts: these words were typed."""
    if not words:
        return "__fish_use_subcommand"
    seen = "; and ".join(f"__fish_seen_subcommand_from {word}" for word in words.split())
    return seen if done else f"{seen}; and test (count (commandline -opc)) -eq {len(words.split()) + 1}"


def below(flags: Flags) -> dict[str, list[str]]:
    """The words that may follow the words of a branch, "" for the first."""
    found: dict[str, list[str]] = {}
    for words in flags:
        parts = words.split()
        for depth, part in enumerate(parts):
            names = found.setdefault(" ".join(parts[:depth]), [])
            if part not in names:
                names.append(part)
    return found
