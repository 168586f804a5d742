"""What an installed package adds is there on the command line; what it does badly is a line, and the rest goes on."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

HOUSE = Path(__file__).resolve().parents[1]
BROKEN = """
[morphloop.readers]
BVH = example_plugin:PELVIS_TRACK
missing = no_such_module:READER
number = math:pi

[morphloop.bodies]
smpl = example_plugin:body
failing = math:sqrt

[morphloop.generators]
example = math:sqrt
absent = no_such_module:load

[morphloop.metrics]
again = example_plugin:HEIGHTS
missing = no_such_module:METRIC
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that the example package is installed into."""
    copy, site = tmp_path_factory.mktemp("copy") / "example_plugin", tmp_path_factory.mktemp("site")
    shutil.copytree(HOUSE / "tests" / "example_plugin", copy, ignore=shutil.ignore_patterns("__pycache__"))
    pip = ("-m", "pip", "install", "-q", "--no-deps", "--no-index", "--no-build-isolation", "--target", site, copy)
    subprocess.run([sys.executable, *map(str, pip)], check=True, capture_output=True)
    return site


@pytest.fixture(scope="module")
def motions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of the package's format, and one of its layout of arrays."""
    folder = tmp_path_factory.mktemp("motions")
    still = np.tile([0.0, 0.0, 0.93], (60, 1))
    np.savetxt(folder / "still.pelvis", still, header="pelvis track", comments="")
    np.savez(folder / "arrays.npz", stands_at=np.array([0.0, 0.0, 0.93]))
    (folder / "other.pelvis").write_text("something else\n")
    return folder


def morphloop(*args: object, site: Path) -> subprocess.CompletedProcess[str]:
    """The command, run with the package's folder on the path."""
    path = os.pathsep.join([str(site), *filter(None, [os.environ.get("PYTHONPATH")])])
    return subprocess.run(
        [sys.executable, "-m", "morphloop", *map(str, args)],
        cwd=HOUSE,
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
    )


def test_readers_and_metrics_of_a_package_are_used_by_evaluate(site: Path, motions: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    done = morphloop("evaluate", motions, "--no-wrench", "--json", out, site=site)
    assert done.returncode == 0, done.stderr
    table = json.loads(out.read_text())
    rows = {row["name"]: row for row in table["clips"]}
    assert set(rows) == {"still", "arrays"}
    assert rows["still"]["metrics"]["example_height_m"] == pytest.approx(0.93)
    assert rows["arrays"]["metrics"]["example_rise_m"] == pytest.approx(0.0, abs=1e-9)
    assert rows["still"]["metrics"]["slide_mean_mm_s"] == pytest.approx(0.0, abs=1e-6)
    assert table["units"]["example_height_m"] == "m"
    assert table["versions"]["example-plugin"] == "1.2"


def test_a_body_and_a_generator_of_a_package_are_used_by_name(site: Path, motions: Path, tmp_path: Path) -> None:
    generated = tmp_path / "generated"
    done = morphloop("generate", "a person stands", "--generator", "example:small", "--out", generated, site=site)
    assert done.returncode == 0, done.stderr
    assert len(list(generated.glob("*.npz"))) == 1
    out = tmp_path / "projected"
    asked = ("--policy", "none", "--projection.projector", "optimiser", "--workers", 0, "--body", "example")
    done = morphloop("project", motions / "still.pelvis", "--out", out, *asked, site=site)
    assert done.returncode == 0, done.stderr
    (row,) = map(json.loads, (out / "manifest.jsonl").read_text().splitlines())
    assert row["after"]["example_height_m"] == pytest.approx(0.93, abs=0.05)
    assert json.loads((out / "config.json").read_text())["made_with"]["versions"]["example-plugin"] == "1.2"
    done = morphloop("verify", out, site=site)
    assert done.returncode == 0, done.stderr


def test_what_is_broken_or_has_a_taken_name_is_a_line_and_the_rest_goes_on(
    site: Path, motions: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "site"
    shutil.copytree(site, broken)
    info = broken / "broken_plugin-0.1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: broken-plugin\nVersion: 0.1\n")
    (info / "entry_points.txt").write_text(BROKEN)
    high = tmp_path / "high.pelvis"
    np.savetxt(high, np.tile([0.0, 0.0, 2.0], (60, 1)), header="pelvis track", comments="")
    out = tmp_path / "out.json"
    done = morphloop("evaluate", motions, high, "--no-wrench", "--json", out, site=broken)
    assert done.returncode == 0, done.stderr
    rows = {row["name"]: row["metrics"] for row in json.loads(out.read_text())["clips"]}
    assert rows["still"]["example_height_m"] == pytest.approx(0.93)
    assert rows["high"]["example_height_m"] is None
    said = done.stderr.splitlines()
    for words in (
        "morphloop.readers 'BVH' of broken-plugin 0.1: the name is morphloop's own, passed over",
        "morphloop.readers 'missing' of broken-plugin 0.1: ModuleNotFoundError (No module named 'no_such_module')",
        "morphloop.readers 'number' of broken-plugin 0.1: is a float, expected a Format or a Layout",
        "morphloop.bodies 'smpl' of broken-plugin 0.1: the name is morphloop's own, passed over",
        "morphloop.metrics 'missing' of broken-plugin 0.1: ModuleNotFoundError",
        "a metric is called 'example_height_m' already, passed over",
        "metric example_height_m, example_rise_m: ArithmeticError (too high for this metric), no value",
    ):
        assert sum(words in line for line in said) == 1, (words, done.stderr)
    assert not any("Traceback" in line for line in said)
    for asked, words in (
        (("evaluate", high, "--body", "failing"), "body 'failing': TypeError"),
        (
            ("generate", "x", "--generator", "absent", "--out", tmp_path / "o"),
            "morphloop.generators 'absent' of broken",
        ),
    ):
        done = morphloop(*asked, site=broken)
        assert done.returncode == 2
        assert words in done.stderr.splitlines()[-1]
        assert "Traceback" not in done.stderr
    done = morphloop("doctor", site=broken)
    assert "example-plugin 1.2" in done.stdout
    assert "broken-plugin 0.1" in done.stdout
