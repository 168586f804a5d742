"""What the documentation site is given when it is built (`make docs`): a page a command, made from the dataclasses that
are its flags; the model cards, which stay beside their weights; links of pages to files that are no pages."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path, PurePosixPath
from posixpath import normpath, relpath
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import tyro

from morphloop.cli import COMMANDS, CONFIG_HELP, OnDemand, first_sentence, leaves
from morphloop.cli.config import open_parts, part_of, short_names
from morphloop.cli.examples import EXAMPLES

ROOT = Path(__file__).resolve().parent.parent
COMMANDS_PAGE = "reference/commands.md"
CARDS = {path.parent.name: path for path in sorted((ROOT / "assets").glob("*/MODEL_CARD.md"))}
LINK = re.compile(r"(?<!!)\[([^\]]*)\]\((?![a-z]+:|#)([^)#\s]+)(#[^)\s]*)?\)")
"""A link of Markdown to a file: its text, path and anchor."""
BAR_IN_CODE = re.compile(r"`[^`\n]*\\\|[^`\n]*`")
"""Code in a table with a bar in it, which GitHub wants escaped and MkDocs does not."""


def on_config(config: Any) -> Any:
    """The pages of commands stand in the navigation under their list."""
    below = [{words: page} for words, page in command_paths().items()]
    _put_below(config.nav, COMMANDS_PAGE, below)
    return config


def on_files(files: Any, config: Any) -> Any:
    """The pages that no file holds."""
    from mkdocs.structure.files import File

    for path, text in generated().items():
        files.append(File.generated(config, path, content=text))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Links of a page that lead out of the documentation."""
    uri = page.file.src_uri
    if uri in generated_paths():
        return markdown
    return led_inside(BAR_IN_CODE.sub(lambda code: code[0].replace("\\|", "|"), markdown), f"docs/{uri}", uri)


def generated() -> dict[str, str]:
    """Markdown by the path of its page."""
    return {COMMANDS_PAGE: _list_of_commands(), **command_pages(), **card_pages()}


def command_paths() -> dict[str, str]:
    """The page of every command, by its words."""
    return {words: f"reference/commands/{words.replace(' ', '_')}.md" for words, _ in leaves(COMMANDS)}


def command_pages() -> dict[str, str]:
    """What each command's help tells, by the path of its page."""
    paths = command_paths()
    return {
        paths[words]: _command_page(words, leaf.load() if isinstance(leaf, OnDemand) else leaf)
        for words, leaf in leaves(COMMANDS)
    }


def card_pages() -> dict[str, str]:
    """The model cards, by the path of their page."""
    return {
        f"cards/{name}.md": led_inside(
            path.read_text(encoding="utf-8"), f"assets/{name}/MODEL_CARD.md", f"cards/{name}.md"
        )
        for name, path in CARDS.items()
    }


def led_inside(markdown: str, source: str, uri: str) -> str:
    """A page whose links to model cards lead to their pages, and whose links to other files of the repository, which
    the site does not have, are the names of those files. source: where the page stands in the repository; uri: where
    on the site. Raises FileNotFoundError for a link to a file that is not there."""

    def led(link: re.Match[str]) -> str:
        text, path, anchor = link[1], link[2], link[3] or ""
        target = PurePosixPath(normpath(f"{PurePosixPath(source).parent}/{path}"))
        if not (ROOT / target).exists() and f"{target}".removeprefix("docs/") not in generated_paths():
            raise FileNotFoundError(f"{source}: a link to {path}, which is not there")
        if target.name == "MODEL_CARD.md":
            inside = f"cards/{target.parent.name}.md"
        elif target.parts[0] == "docs":
            inside = f"{target.relative_to('docs')}"
        else:
            return f"{text} (`{target}`)" if text.strip("`") != f"{target}" else text
        return f"[{text}]({relpath(inside, f'{PurePosixPath(uri).parent}')}{anchor})"

    return LINK.sub(led, markdown)


def generated_paths() -> set[str]:
    """The paths of pages that no file holds."""
    return {COMMANDS_PAGE, *command_paths().values(), *(f"cards/{name}.md" for name in CARDS)}


def _put_below(nav: list[Any], path: str, below: list[dict[str, str]]) -> None:
    for entry in nav:
        for title, value in entry.items() if isinstance(entry, dict) else ():
            if value == path:
                entry[title] = [path, *below]
            elif isinstance(value, list):
                _put_below(value, path, below)


def _list_of_commands() -> str:
    lines = ["# Commands", "", "Made from the commands themselves, as `--help` is. " + _prose(CONFIG_HELP), ""]
    lines += ["| command | what it does |", "|---|---|"]
    for (words, leaf), path in zip(leaves(COMMANDS), command_paths().values(), strict=True):
        doc = leaf.doc if isinstance(leaf, OnDemand) else inspect.getdoc(leaf) or ""
        lines.append(f"| [`{words}`]({relpath(path, 'reference')}) | {_cell(first_sentence(doc))} |")
    lines += ["", "Exit codes: 0 done, 1 a gate or a check failed, 2 bad input or usage, 130 interrupted."]
    return "\n".join(lines) + "\n"


def _command_page(words: str, command: type) -> str:
    lines = [f"# morphloop {words}", "", _prose(inspect.getdoc(command) or ""), ""]
    lines += ["```sh", *EXAMPLES.get(words, ()), "```", ""]
    defaults = {
        field.name: field.default_factory() if field.default_factory is not MISSING else field.default
        for field in fields(command)
    }
    lines += _tables(command, "", "", defaults)
    short = short_names(command)
    if short:
        lines += ["## Short names", "", "| flag | stands for |", "|---|---|"]
        lines += [f"| `--{name.replace('_', '-')}` | `--{path.replace('_', '-')}` |" for name, path in short.items()]
    return "\n".join(lines).rstrip() + "\n"


def _tables(kind: type, above: str, told: str, values: Any) -> Iterator[str]:
    """The flags of a dataclass and then of those in it. above: prefix of its flags; told: of what holds it; values:
    its defaults, by name or as an instance."""
    hints, docs, unprefixed = get_type_hints(kind, include_extras=True), field_docs(kind), open_parts(kind)
    rows: list[str] = []
    parts: list[tuple[type, str, str, Any]] = []
    for field in fields(kind):
        value = values[field.name] if isinstance(values, Mapping) else getattr(values, field.name)
        hint, doc = hints[field.name], docs.get(field.name, "")
        part = part_of(hint)
        if part is not None:
            parts.append((part, above if field.name in unprefixed else f"{above}{field.name}.", doc, value))
        else:
            place = 0 if _is_positional(hint) else len(rows)
            rows.insert(place, _row(f"{above}{field.name}", hint, value, doc))
    if rows:
        if above:
            yield from (f"## `--{above.rstrip('.').replace('_', '-')}`", "")
        if told:
            yield from (_prose(told), "")
        yield from ("| flag | takes | default | |", "|---|---|---|---|", *rows, "")
    for part in parts:
        yield from _tables(*part)


def _row(path: str, hint: Any, value: Any, doc: str) -> str:
    name = path.replace("_", "-")
    if _is_positional(hint):
        flag = f"`{path.upper()}`"
    elif hint is bool:
        above, _, last = name.rpartition(".")
        flag = f"`--{name}`, `--{above + '.' if above else ''}no-{last}`"
    else:
        flag = f"`--{name}`"
    takes = _takes(hint)
    return f"| {flag} | {f'`{takes}`' if takes else ''} | {_default(value)} | {_cell(' '.join(doc.split()))} |"


def _is_positional(hint: Any) -> bool:
    return get_origin(hint) is Annotated and tyro.conf.Positional in get_args(hint)


def _takes(hint: Any) -> str:
    """What is written behind a flag."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _takes(inner[0])
    if origin in (Union, UnionType):
        return "|".join(_takes(one) for one in inner if one is not NoneType)
    if origin is Literal:
        return "|".join(map(str, inner))
    if origin in (tuple, list):
        repeated = origin is list or inner[-1] is Ellipsis
        return f"{_takes(inner[0])} ..." if repeated else " ".join(_takes(one) for one in inner)
    return "" if hint is bool else str(hint.__name__).upper()


def _default(value: Any) -> str:
    if value is MISSING:
        return "needed"
    if value is None or value == ():
        return ""
    if isinstance(value, tuple):
        return f"`{' '.join(map(str, value))}`"
    return {True: "on", False: "off"}[value] if isinstance(value, bool) else f"`{value}`"


def field_docs(kind: type) -> dict[str, str]:
    """The text under each field of a dataclass and of those that it extends."""
    found: dict[str, str] = {}
    for owner in reversed(kind.__mro__):
        if not is_dataclass(owner):
            continue
        (tree,) = ast.parse(textwrap.dedent(inspect.getsource(owner))).body
        assert isinstance(tree, ast.ClassDef)
        for above, below in zip(tree.body, tree.body[1:], strict=False):
            if isinstance(above, ast.AnnAssign) and isinstance(above.target, ast.Name) and isinstance(below, ast.Expr):
                text = below.value
                if isinstance(text, ast.Constant) and isinstance(text.value, str):
                    found[above.target.id] = inspect.cleandoc(text.value)
    return found


def _cell(text: str) -> str:
    """Text for a cell of a table, where a bar outside of backticks would begin the next."""
    pieces = _prose(text).split("`")
    pieces[::2] = [piece.replace("|", "\\|") for piece in pieces[::2]]
    return "`".join(pieces)


def _prose(text: str) -> str:
    """Text of a docstring as Markdown, its flags as code."""
    pieces = text.split("`")
    pieces[::2] = [re.sub(r"(?<![\w-])--[a-z][\w.-]*\w(?:=-\w)?", r"`\g<0>`", piece) for piece in pieces[::2]]
    return "`".join(pieces)
