"""The defect bench: our metrics pass its gate, a broken metric does not, and its page is what the command makes."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from morphloop.cli import main
from morphloop.metrics.defect_bench import bench
from morphloop.metrics.defect_bench.as_fed import as_fed, naive_slide, raw_jerk
from morphloop.metrics.defect_bench.bench import RATES, Case, failures, lines, run_bench, spread
from morphloop.metrics.defect_bench.clean_motion import clean_motion
from morphloop.metrics.points import motion_points
from morphloop.metrics.report.bench_page import page
from morphloop.motion import JointTrack

ROOT = Path(__file__).resolve().parent.parent
SHARED = Path(os.environ.get("MORPHLOOP_SHARED", ROOT.parent / "shared"))


@pytest.fixture(scope="module")
def cases() -> list[Case]:
    """The whole bench, once: what `morphloop bench metrics` runs."""
    return run_bench()


def pick(cases: list[Case], defect: str, size: float, motion: str = "step", variant: str = "surface") -> Case:
    return next(c for c in cases if (c.defect, c.size, c.motion, c.variant) == (defect, size, motion, variant))


def verdicts(case: Case) -> dict[str, str]:
    return {line.name: line.verdict for line in lines(case)}


@pytest.mark.slow
def test_our_slide_skating_float_and_penetration_read_what_was_injected(cases: list[Case]) -> None:
    assert sum(case.gated for case in cases) == 80
    assert failures(cases) == []


@pytest.mark.slow
def test_si_metrics_agree_over_the_rates_and_frames_counted_do_not(cases: list[Case]) -> None:
    slid = verdicts(pick(cases, "slide", 700.0))
    assert slid["slide_mean_mm_s"] == slid["physdiff_skate_mm"] == slid["gmd_skating_ratio"] == ""
    dependent = ("physdiff_skate_mm as fed", "gmd_skating_ratio as fed", "edge_pfc as fed")
    assert [slid[name] for name in dependent] == ["fps-dependent"] * 3
    as_fed_skate = pick(cases, "slide", 700.0).readings["physdiff_skate_mm as fed"]
    np.testing.assert_allclose([v * fps for v, fps in zip(as_fed_skate, RATES, strict=True) if v], 690, rtol=0.02)


@pytest.mark.slow
def test_thresholds_make_published_definitions_blind(cases: list[Case]) -> None:
    assert verdicts(pick(cases, "slide", 300.0))["gmd_skating_ratio"] == "blind"
    assert verdicts(pick(cases, "float", 3.0))["physdiff_float_mm"] == "blind"
    assert verdicts(pick(cases, "float", 60.0))["edge_pfc"] == "blind"
    assert verdicts(pick(cases, "float", 3.0))["float_mean_mm"] == ""


def numbers_and_words(text: str) -> tuple[list[float], list[str]]:
    number = r"-?\d+(?:\.\d+)?"
    return [float(found) for found in re.findall(number, text)], re.split(number, text)


@pytest.mark.slow
def test_page_is_what_the_command_makes(cases: list[Case]) -> None:
    """Words to the letter; numbers to 2 % or two hundredths, since a last digit may round otherwise elsewhere."""
    made, made_words = numbers_and_words(page(cases, "defect_bench.png"))
    kept, kept_words = numbers_and_words((ROOT / "docs" / "lab" / "defect_bench.md").read_text())
    assert made_words == kept_words, "run `morphloop bench metrics --markdown docs/lab/defect_bench.md`"
    np.testing.assert_allclose(made, kept, rtol=0.02, atol=0.02)


@pytest.mark.slow
def test_command_writes_table_page_picture_and_json(
    cases: list[Case], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bench, "run_bench", lambda seed, watch, workers: cases)
    out, text = tmp_path / "made" / "bench.json", tmp_path / "bench.md"
    code = main(["bench", "metrics", "--json", str(out), "--markdown", str(text)])
    found = json.loads(out.read_text(), parse_constant=lambda word: pytest.fail(f"{word} is not JSON"))
    assert code == (0 if found["gate"]["passed"] else 1)
    assert found["rates"] == list(RATES)
    assert len(found["cases"]) == len(cases)
    assert all(len(found["cases"][0]["readings"][name]) == len(RATES) for name in cases[0].readings)
    assert text.read_text() == page(cases, "bench.png")
    assert (tmp_path / "bench.png").read_bytes().startswith(b"\x89PNG")
    printed = capsys.readouterr().out
    assert "slide_mean_mm_s" in printed
    assert "gate:" in printed


MEASURED: dict[str, Any] = {}
"""What `measure` says of a motion, by id: the injected clips are the same in every run, and take the time."""
MEASURE = bench.measure


def honest(motion: Any) -> Any:
    if motion.id not in MEASURED:
        MEASURED[motion.id] = MEASURE(motion)
    return MEASURED[motion.id]


def broken(name: str, spoil: Any) -> Any:
    """`measure` with one value spoiled."""

    def measure(motion: Any) -> Any:
        found = honest(motion)
        return replace(found, values=found.values | {name: spoil(found.values[name])})

    return measure


@pytest.mark.parametrize(
    ("defect", "metric"),
    [("slide", "slide_mean_mm_s"), ("float", "float_mean_mm"), ("penetration", "penetration_mean_mm")],
)
@pytest.mark.parametrize("spoil", [lambda v: 1.05 * v + 1.2, lambda v: None], ids=["off", "null"])
def test_gate_fails_when_a_metric_is_broken(
    defect: str, metric: str, spoil: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench, "measure", honest)
    assert failures(run_bench(defects=(defect,), motions=("stand",))) == []
    monkeypatch.setattr(bench, "measure", broken(metric, spoil))
    failed = failures(run_bench(defects=(defect,), motions=("stand",)))
    assert len(failed) > 0
    assert all(line.startswith(f"{defect} ") and metric in line for line in failed)


def test_command_says_what_failed_and_exits_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def few(seed: int, watch: Any, workers: int | None) -> list[Case]:
        return run_bench(seed, defects=("slide",), motions=("step",), watch=watch)

    monkeypatch.setattr(bench, "measure", broken("slide_mean_mm_s", lambda v: 2.0 * v))
    monkeypatch.setattr(bench, "run_bench", few)
    assert main(["bench", "metrics"]) == 1
    printed = capsys.readouterr().out
    assert "gate: 8 of 8 cases fail" in printed
    assert "slide 100 mm/s in step (surface): slide_mean_mm_s should read 100.00 within 3.00" in printed


def test_same_seed_same_figures() -> None:
    first, second, other = (run_bench(seed, defects=("jitter",), motions=("stand",)) for seed in (0, 0, 1))
    assert [case.readings for case in first] == [case.readings for case in second]
    assert [case.readings for case in first] != [case.readings for case in other]


@pytest.mark.parametrize(
    ("readings", "expected"),
    [
        ((2.0, 2.0, 3.0, 2.0), 1.5),
        ((-4.0, -2.0, -2.0, -2.0), 2.0),
        ((0.0, 0.0, 0.0, 1e-9), None),
        ((None, None, None, None), None),
        ((1.0, 0.0, 1.0, 1.0), float("inf")),
        ((1.0, None, 1.0, 1.0), float("inf")),
    ],
)
def test_spread(readings: tuple[float | None, ...], expected: float | None) -> None:
    assert spread(readings) == expected


def test_raw_jerk_by_hand() -> None:
    times = np.arange(10) / 10.0
    positions = np.stack([times**3, 0 * times, 0 * times], axis=1)[:, None]
    assert raw_jerk(positions, 10.0) == pytest.approx(6.0)
    assert raw_jerk(positions[:3], 10.0) is None


def test_naive_slide_takes_a_change_of_foot_for_a_slide() -> None:
    """Two still points 0.2 m apart, now one lowest, now the other: 0.2 m in one of two steps of 0.1 s."""
    positions = np.zeros((3, 2, 3))
    positions[:, 1, 0] = 0.2
    positions[0, 1, 2] = positions[1, 1, 2] = positions[2, 0, 2] = 0.005
    points = motion_points(JointTrack(10.0, ("a", "b"), positions))
    assert naive_slide(points) == pytest.approx(1000.0)
    assert naive_slide(motion_points(JointTrack(10.0, ("a", "b"), np.add(positions, 0.1)))) is None


def test_as_fed_changes_with_the_rate_that_a_file_happens_to_have() -> None:
    fast, slow = (as_fed(motion_points(clean_motion("walk", fps))) for fps in (120.0, 30.0))
    assert fast["raw jerk"] != pytest.approx(slow["raw jerk"], rel=0.1)
    assert set(fast) == set(bench.AS_FED)


def benchmark(name: str) -> ModuleType:
    """A script of benchmarks/ as a module."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "benchmarks" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def test_slide_falls_in_every_raw_and_foot_fixed_pair() -> None:
    folder = SHARED / "data" / "generated" / "footfix_pairs"
    if not folder.is_dir():
        pytest.skip(f"no {folder}: set MORPHLOOP_SHARED")
    pairs = benchmark("data_table").foot_fix_pairs(folder)
    as_is = [pair for pair in pairs if pair.ground == "as-is"]
    assert len(as_is) == 3 * 2 * 2, "three clips, two variants, two choices of contact frames"
    assert [pair for pair in as_is if pair.verdict != "falls"] == []
    assert all(pair.raw > 3.0 * pair.fixed for pair in as_is if pair.variant == "joints")
    assert [pair for pair in pairs if pair.verdict == "rises"] == []


def test_data_table_figures() -> None:
    table = benchmark("data_table")
    median, interval = table.median_interval(np.array([3.0]))
    assert (median, interval) == (3.0, None)
    median, interval = table.median_interval(np.arange(101.0))
    assert median == 50.0
    assert 40.0 < interval[0] < 50.0 < interval[1] < 60.0
    found = table.Column("set", "group", "as-is", clips=3, values={"float_mean_mm": np.array([1.0, np.nan, 1.0])})
    assert table._cell(found, "float_mean_mm") == "1 [1, 1] (2)"
    assert table._cell(found, "slide_mean_mm_s") == "-"
    assert table._reason("a.bvh: frame 12 is bad") == table._reason("a.bvh: frame 7 is bad")


def test_without_matplotlib_the_page_is_refused_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setattr(bench, "run_bench", lambda *_, **__: pytest.fail("the bench ran"))
    assert main(["bench", "metrics", "--markdown", str(tmp_path / "page.md")]) == 2
    assert "pip install 'morphloop[plots]'" in capsys.readouterr().err
