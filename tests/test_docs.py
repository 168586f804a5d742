"""The pages and notebooks that users read are true of the code."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import nbformat
import numpy as np
import pytest
import tyro
import yaml
from nbclient import NotebookClient
from PIL import Image

from morphloop.cli import COMMANDS, OnDemand, leaves
from morphloop.cli.completion import PLAIN, flags_of
from morphloop.cli.config import short_names, spelt_out, take_config
from morphloop.metrics.registry import markdown

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
PAGES = [path for place in ("*.md", "docs/**/*.md", "assets/*/*.md") for path in ROOT.glob(place)]
LEAVES = {words: leaf.load() if isinstance(leaf, OnDemand) else leaf for words, leaf in leaves(COMMANDS)}


@pytest.fixture(scope="module")
def hooks() -> ModuleType:
    """What makes pages of the site that no file holds."""
    spec = spec_from_file_location("docs_hooks", DOCS / "hooks.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def made(hooks: ModuleType) -> dict[Path, str]:
    return {DOCS / path: text for path, text in hooks.generated().items()}


def test_metrics_page_is_the_registry():
    assert (DOCS / "metrics.md").read_text() == markdown()


def without_code(text: str) -> str:
    return re.sub(r"```.*?```|`[^`\n]*`", "code", text, flags=re.DOTALL)


def anchors(text: str) -> set[str]:
    """Of a page's headings, as GitHub and MkDocs both make them."""
    found = set()
    for heading in re.findall(r"^#+ (.+)$", re.sub(r"```.*?```", "", text, flags=re.DOTALL), re.MULTILINE):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        found.add(re.sub(r"\s+", "-", re.sub(r"[^\w\s-]", "", plain).strip().lower()))
    return found | set(re.findall(r"^::: (\S+)$", text, re.MULTILINE))


def test_links_between_pages_are_alive(made: dict[Path, str]):
    texts = {path: path.read_text(encoding="utf-8") for path in PAGES} | made
    dead, seen = [], 0
    for path, text in texts.items():
        for link, anchor in re.findall(r"\]\((?![a-z]+:)([^)#\s]*)(?:#([^)\s]*))?\)", without_code(text)):
            target = Path(re.sub(r"/\./", "/", str((path.parent / link).resolve()))) if link else path
            there = target in texts or target.exists()
            if not there or (anchor and anchor not in anchors(texts.get(target, ""))):
                dead.append(f"{path.relative_to(ROOT)}: {link}#{anchor}")
            seen += 1
    assert seen > 200
    assert dead == []


def test_the_readme_shows_what_moves_in_little_room():
    (picture,) = re.findall(r"!\[[^\]]*\]\(([^)]*)\)", (ROOT / "README.md").read_text())
    assert (ROOT / picture).stat().st_size < 3_000_000
    with Image.open(ROOT / picture) as shown:
        assert getattr(shown, "n_frames", 1) > 10
    assert len((ROOT / "README.md").read_text().splitlines()) < 100, "its own page is the place of anything longer"


def pages_of(nav: list[Any]) -> Iterator[str]:
    for entry in nav:
        for value in entry.values() if isinstance(entry, dict) else [entry]:
            yield from pages_of(value) if isinstance(value, list) else [value]


def test_every_page_stands_in_the_navigation_once(hooks: ModuleType, made: dict[Path, str]):
    nav = yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"]
    hooks.on_config(type("Config", (), {"nav": nav}))
    named = list(pages_of(nav))
    assert sorted(named) == sorted(str(path.relative_to(DOCS)) for path in {*DOCS.rglob("*.md"), *made})


def commands_in(text: str) -> Iterator[str]:
    """Lines of a page's blocks of code that call morphloop."""
    for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            if line.strip().startswith("morphloop "):
                yield line.strip()


def test_every_command_of_the_pages_is_understood(capsys: pytest.CaptureFixture[str]):
    wrong, seen = [], 0
    for path in (ROOT / "README.md", *DOCS.rglob("*.md")):
        for line in commands_in(path.read_text(encoding="utf-8")):
            said = shlex.split(re.split(r" > | \|\| | \| ", line)[0], comments=True)[1:]
            words = next((w for w in (" ".join(said[:2]), said[0]) if w in LEAVES), None)
            seen += 1
            try:
                assert words is not None
                args, _ = take_config(said[len(words.split()) :])
                tyro.cli(LEAVES[words], args=spelt_out(LEAVES[words], args))
            except (SystemExit, AssertionError):
                wrong.append(f"{path.relative_to(ROOT)}: {line}: {capsys.readouterr().err[-300:]}")
    assert seen > 60
    assert wrong == []


@pytest.mark.parametrize("words", LEAVES)
def test_a_commands_page_tells_all_of_its_flags(words: str, hooks: ModuleType, made: dict[Path, str]):
    command = LEAVES[words]
    rows = re.findall(r"^\| (`.*?`) \|", made[DOCS / hooks.command_paths()[words]], re.MULTILINE)
    told = {flag for row in rows for flag in re.findall(r"`(--[^`]+)`", row)}
    assert told == {flag for flag, _ in flags_of(command)} - {"--help", "--config", PLAIN}
    assert {f"--{name.replace('_', '-')}" for name in short_names(command)} <= told


def outputs(name: str, folder: Path) -> list[dict]:
    """What the cells of a notebook put out, run anew in `folder`; an error in a cell is an error here."""
    notebook = nbformat.read(ROOT / "notebooks" / name, as_version=4)
    NotebookClient(notebook, timeout=600, resources={"metadata": {"path": str(folder)}}).execute()
    return [output for cell in notebook.cells for output in cell.get("outputs", [])]


def pictures(found: list[dict]) -> int:
    return sum("image/png" in output.get("data", {}) for output in found)


@pytest.mark.slow
def test_quickstart_runs(tmp_path: Path):
    assert pictures(outputs("quickstart.ipynb", tmp_path)) == 1


def test_evaluate_notebook_runs_and_reads_what_was_injected(tmp_path: Path):
    found = outputs("evaluate.ipynb", tmp_path)
    assert pictures(found) == 1
    text = "".join(output.get("text", "") for output in found)
    for defect, metric in (
        ("slide", "slide_mean_mm_s"),
        ("float", "float_mean_mm"),
        ("penetration", "penetration_mean_mm"),
    ):
        readings = re.findall(rf"\w+_{defect}_\d+ +(\d+) \S+ +-> {metric} +([\d.]+)", text)
        assert readings
        for size, reading in readings:
            assert float(reading) == pytest.approx(float(size), rel=0.03)
    assert (tmp_path / "bench" / "report.html").stat().st_size > 100_000


@pytest.mark.slow
def test_robot_notebook_runs_from_bvh_to_what_a_trainer_loads(tmp_path: Path):
    found = outputs("robot.ipynb", tmp_path)
    assert pictures(found) == 1
    text = "".join(output.get("text", "") for output in found)
    assert "accepted by the optimiser" in text
    assert re.search(r"replay error +0\n", text), "bit by bit"
    assert (tmp_path / "walk.bvh").is_file()
    with np.load(tmp_path / "mjlab" / "walk.npz") as trained:
        assert trained["joint_pos"].shape[1] == 29


@pytest.mark.slow
def test_loop_notebook_closes_a_round_and_repeats_nothing(tmp_path: Path):
    found = outputs("loop.ipynb", tmp_path)
    assert pictures(found) == 1
    text = "".join(output.get("text", "") for output in found)
    assert "'learnt': " in text, "the generator was tuned, and the guard asked"
    assert "2 rounds of 3 clips, 14 stages, 7 are done already" in text
    assert found[-1]["data"]["text/plain"] == "True", "resuming and a dry run left every stage as it was"
    assert (tmp_path / "run" / "report.html").is_file()
    assert not (tmp_path / "run" / "round_01").exists()


@pytest.mark.parametrize("path", sorted((ROOT / "notebooks").glob("*.ipynb")), ids=lambda path: path.stem)
def test_committed_notebooks_show_their_outputs(path: Path):
    notebook = nbformat.read(path, as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    silent = [cell for cell in code if not cell.outputs]
    assert all("import" in cell.source for cell in silent), "only imports say nothing"
    found = [output for cell in code for output in cell.outputs]
    assert pictures(found) == 1
    assert not [output for output in found if output.output_type == "error"]
    assert str(Path.home()) not in path.read_text()
