"""What the package says of itself to an installer."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from collections.abc import Iterator
from email import message_from_string
from email.message import Message
from importlib.metadata import packages_distributions
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

import morphloop
from morphloop.motion import make_corpus, write_motion

HOUSE = Path(__file__).resolve().parents[1]
PYPROJECT = tomllib.loads((HOUSE / "pyproject.toml").read_text())
PROJECT, SETUPTOOLS = PYPROJECT["project"], PYPROJECT["tool"]["setuptools"]
PACKAGES = SETUPTOOLS["packages"]
PLACES = {name.removeprefix("morphloop."): folder for name, folder in SETUPTOOLS["package-dir"].items()}
"""Where the parts of morphloop stand in the checkout."""
FOLDERS = tuple(folder for folder in PLACES.values() if folder != "assets")
USED = ("gpu", "train", "plots", "export", "language", "captions", "cluster")
"""Extras that the package itself imports from."""
CARRIED = {"markupsafe": "jinja2", "tensordict": "rsl-rl-lib"}
"""Distributions that another one cannot be without."""


def plain(name: str) -> str:
    """A distribution's name as pip compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def declared() -> set[str]:
    """Distributions that are asked for, those of the extras too."""
    extras = PROJECT["optional-dependencies"]
    asked = PROJECT["dependencies"] + [one for name in USED for one in extras[name]]
    return {plain(re.match(r"[\w.-]+", one).group()) for one in asked}  # type: ignore[union-attr]


def imported() -> Iterator[tuple[str, Path]]:
    """Top-level modules from outside that a file of the package imports."""
    for path in (path for folder in FOLDERS for path in (HOUSE / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                names = [node.module]
            tops = {name.partition(".")[0] for name in names} - sys.stdlib_module_names - {"morphloop"}
            yield from ((top, path.relative_to(HOUSE)) for top in tops)


def test_whatever_is_imported_is_asked_for():
    owners, asked = packages_distributions(), declared()
    found = list(imported())
    assert len(found) > 100
    lacking = {
        f"{module} ({path})"
        for module, path in found
        if not {CARRIED.get(plain(name), plain(name)) for name in owners.get(module, [module])} & asked
    }
    assert not lacking


def package_files() -> Iterator[str]:
    """What a wheel has to hold: every file of the package as it is seen through the links of `morphloop/`."""
    for place, folders, names in os.walk(HOUSE / "morphloop", followlinks=True):
        folders[:] = [name for name in folders if name != "__pycache__" and not name.startswith(".")]
        yield from (str((Path(place) / name).relative_to(HOUSE)) for name in names if not name.startswith("."))


def python(*args: str, cwd: Path, wheel: Path | None = None) -> str:
    """What python prints, run in a folder, with the wheel's install on its path or without."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    path = {} if wheel is None else {"PYTHONPATH": str(wheel)}
    done = subprocess.run([sys.executable, *args], cwd=cwd, env=kept | path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_links_lead_to_the_folders():
    links = {path.name: os.readlink(path) for path in (HOUSE / "morphloop").iterdir() if path.is_symlink()}
    assert links == {name: f"../{folder}" for name, folder in PLACES.items()}


def test_packages_are_the_folders_that_hold_code():
    """A folder that is forgotten works from an editable install and is not in the wheel."""
    holding = {str(Path(name).parent).replace(os.sep, ".") for name in package_files() if name.endswith(".py")}
    assert sorted(PACKAGES) == sorted(holding)
    assert [name for name in PACKAGES if not (HOUSE / name.replace(".", "/") / "__init__.py").is_file()] == []


def test_every_top_level_folder_of_code_is_a_part():
    holding = {path.parent.name for path in HOUSE.glob("*/__init__.py")}
    assert holding == {"morphloop", *PLACES.values()}


def test_importing_morphloop_loads_nothing_else():
    """What it takes is python's own start: a command, an editor or a test that asks for the version waits for none."""
    names = python("-c", "import sys, morphloop; print(*sorted(sys.modules))", cwd=HOUSE).split()
    assert [name for name in names if name.startswith(("morphloop.", "numpy", "torch", "rich", "tyro"))] == []


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this tree; made from a copy, for setuptools leaves its work beside the sources."""
    copy, out = tmp_path_factory.mktemp("copy"), tmp_path_factory.mktemp("wheel")
    unwanted = shutil.ignore_patterns("__pycache__", ".*")
    for name in ("morphloop", *PLACES.values()):
        shutil.copytree(HOUSE / name, copy / name, symlinks=True, ignore=unwanted)
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(HOUSE / name, copy)
    python("-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", str(out), str(copy), cwd=copy)
    (made,) = out.glob("*.whl")
    return made


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which the wheel is installed, and nothing else."""
    place = tmp_path_factory.mktemp("installed")
    python("-m", "pip", "install", "-q", "--no-deps", "--no-index", "--target", str(place), str(wheel), cwd=place)
    return place


def test_the_wheel_holds_the_package_once_and_nothing_else(wheel: Path):
    """Code and every file that it reads: pages, styles, weights, gains; no tests, no folder under a second name."""
    names = [name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name]
    assert sorted(names) == sorted(package_files())


@pytest.fixture(scope="module")
def told(wheel: Path) -> Message:
    """What the wheel tells an index."""
    files = zipfile.ZipFile(wheel)
    (name,) = (name for name in files.namelist() if name.endswith(".dist-info/METADATA"))
    return message_from_string(files.read(name).decode())


def test_an_index_is_told_what_it_is_for_and_where_it_comes_from(told: Message):
    assert told["Summary"] == PROJECT["description"]
    assert told["License-Expression"] == "Apache-2.0"
    assert told["Description-Content-Type"] == "text/markdown"
    kinds = told.get_all("Classifier") or []
    assert len(kinds) > 5
    assert not [kind for kind in kinds if kind.startswith("License ::")], "an index refuses both kinds of licence"
    assert f"Programming Language :: Python :: {PROJECT['requires-python'].removeprefix('>=')}" in kinds
    assert "humanoid" in told["Keywords"]
    addresses = [line.partition(", ")[2] for line in told.get_all("Project-URL") or []]
    assert addresses
    assert all(address.startswith("https://") and "example" not in address for address in addresses)


def test_there_is_one_version_and_it_is_static(told: Message):
    """A release's name, without a commit or a date of the build in it, and the command's own."""
    assert told["Version"] == morphloop.__version__
    assert re.fullmatch(r"\d+\.\d+\.\d+((a|b|rc)\d+)?", told["Version"])
    assert "version" not in (told.get_all("Dynamic") or [])
    assert f"version = {{{told['Version']}}}" in (HOUSE / "docs" / "cite.md").read_text()


def targets(text: str) -> list[str]:
    """Where pictures and links of a page lead, code left out."""
    return re.findall(r"\]\(([^)]*)\)", re.sub(r"```.*?```|`[^`\n]*`", "", text, flags=re.DOTALL))


def test_no_picture_or_link_of_the_description_is_dead_on_an_index(told: Message):
    shown, readme = told.get_payload(), (HOUSE / "README.md").read_text()
    assert isinstance(shown, str)
    assert len([target for target in targets(readme) if "://" not in target]) > 15
    assert [target for target in targets(shown) if not target.startswith("https://")] == []
    assert "contributing with the house, changelog" in shown
    assert "ml.project(clips" in shown


def test_with_an_address_pictures_and_links_lead_there():
    spec = spec_from_file_location("setup", HOUSE / "setup.py")
    assert spec is not None
    assert spec.loader is not None
    setup = module_from_spec(spec)
    spec.loader.exec_module(setup)
    text = "![a](docs/a.png) [b](docs/b.md#c) [d](https://d.org/e)"
    at = "https://host.org/we/morphloop"
    absolute = f"![a]({at}/raw/HEAD/docs/a.png) [b]({at}/blob/HEAD/docs/b.md#c) [d](https://d.org/e)"
    assert setup.for_an_index(text, at) == absolute
    assert setup.for_an_index(text, None) == " b [d](https://d.org/e)"
    readme = setup.for_an_index((HOUSE / "README.md").read_text(), at)
    linked = [target.removeprefix(f"{at}/") for target in targets(readme) if target.startswith(at)]
    places = [re.sub(r"^(raw|blob)/HEAD/|#.*", "", target) for target in linked]
    assert [place for place in places if not (HOUSE / place).exists()] == []


FOR_OTHERS = {
    "tensorboard": "torch.utils.tensorboard writes by it",
    "onnxruntime": "users and the bench of exported policies run them by it",
}
"""Distributions of extras that no import names, and why they are there."""


def test_every_extra_is_there_for_code_that_uses_it():
    owners = packages_distributions()
    used = {plain(name) for module, _ in imported() for name in owners.get(module, [module])}
    asked = {plain(re.split(r"[<>=!]", one)[0]) for extra in USED for one in PROJECT["optional-dependencies"][extra]}
    assert asked - used - FOR_OTHERS.keys() == set()
    assert FOR_OTHERS.keys() <= asked - used
    assert set(PROJECT["optional-dependencies"]) == {*USED, "docs", "dev"}


@pytest.mark.slow
def test_the_lines_of_the_readme_run_from_the_wheel_in_an_empty_environment(wheel: Path, tmp_path: Path):
    """Nothing of this checkout is there; what the wheel asks for is lent from here, so that nothing is fetched."""
    (lines,) = re.findall(r"```python\n(import morphloop as ml\n.*?)```", (HOUSE / "README.md").read_text(), re.DOTALL)
    home, work = tmp_path / "env", tmp_path / "work"
    work.mkdir()
    python("-m", "venv", "--without-pip", str(home), cwd=tmp_path)
    own = str(home / "bin" / "python")
    python("-m", "pip", "--python", own, "install", "-q", "--no-deps", "--no-index", str(wheel), cwd=tmp_path)
    (site,) = home.glob("lib/python*/site-packages")
    (site / "lent.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    write_motion(work / "walk.bvh", make_corpus(1, seed=2)[0].slice(0, 20), "bvh")
    script = work / "lines.py"
    script.write_text(f"{lines}\nprint(ml.__file__)\n")
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run([own, script.name], cwd=work, env=kept, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == str(site / "morphloop" / "__init__.py")
    assert (work / "g1.mp4").stat().st_size > 1000


@pytest.mark.slow
def test_every_package_comes_from_the_wheel_away_from_the_checkout(installed: Path, tmp_path: Path):
    code = f"import importlib; [print(importlib.import_module(name).__file__) for name in {PACKAGES}]"
    found = python("-c", code, cwd=tmp_path, wheel=installed).splitlines()
    assert found == [str(installed / name.replace(".", "/") / "__init__.py") for name in PACKAGES]


def test_in_the_checkout_its_own_package_shadows_the_wheel(installed: Path):
    """It is whole there, behind its links, and no mixture of both."""
    code = "import morphloop, morphloop.base.pool as pool, morphloop.cli as cli; print(morphloop, pool, cli, sep='\\n')"
    for line in python("-c", code, cwd=HOUSE, wheel=installed).splitlines():
        assert f"'{HOUSE}{os.sep}morphloop{os.sep}" in line


@pytest.mark.parametrize("here", [True, False], ids=["checkout", "elsewhere"])
def test_module_and_script_are_the_one_command(here: bool, installed: Path, tmp_path: Path):
    cwd, said = HOUSE if here else tmp_path, f"morphloop {morphloop.__version__}\n"
    assert python("-m", "morphloop", "--version", cwd=cwd, wheel=installed) == said
    assert python(str(installed / "bin" / "morphloop"), "--version", cwd=cwd, wheel=installed) == said


def test_what_a_result_rests_on_is_the_same_in_checkout_and_wheel(installed: Path, tmp_path: Path):
    """Code is hashed under the names of its folders, wherever they lie."""
    code = f"from morphloop.base.still_valid import hash_code; print(hash_code({FOLDERS}))"
    assert python("-c", code, cwd=HOUSE) == python("-c", code, cwd=tmp_path, wheel=installed)
