"""`--shard i/n` and `--merge`: several machines' parts are what one machine makes, and what does not fit is refused."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from morphloop.base import MotionError
from morphloop.base.shards import Shard, read_shard
from morphloop.cli import main
from morphloop.motion import Clip, make_corpus, save_clip
from morphloop.refinement_loop.timing import TIMING

Said = pytest.CaptureFixture[str]
PARTS = ("1/2", "2/2")


@pytest.fixture(scope="module")
def clips() -> list[Clip]:
    return [replace(clip.slice(0, 20), name=f"clip{k}") for k, clip in enumerate(make_corpus(3, 1))]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, clips: list[Clip]) -> Path:
    """Three clips, two of them of one name in different folders, and a file that is none."""
    place = tmp_path_factory.mktemp("shared") / "clips"
    for clip in clips:
        save_clip(place / f"{clip.name}.npz", clip)
    (place / "more").mkdir()
    shutil.copy(place / "clip1.npz", place / "more" / "clip0.npz")
    (place / "broken.npz").write_bytes(b"no motion")
    return place


def test_parts_are_the_whole_and_none_is_in_two() -> None:
    members = list(range(11))
    for of in (1, 2, 3, 11, 20):
        parts = [Shard(part, of).take(members) for part in range(1, of + 1)]
        assert sorted(member for part in parts for member in part) == members
        assert max(map(len, parts)) - min(map(len, parts)) <= 1
    assert read_shard("2/5") == Shard(2, 5)
    for wrong in ("0/5", "6/5", "2", "2/", "a/b", "-1/2", "1/0", "1/100000"):
        with pytest.raises(MotionError, match=r"expected i/n, such as 2/5"):
            read_shard(wrong)


def files_of(place: Path) -> dict[str, bytes]:
    """Every file but for wall times."""
    found = (path for path in place.rglob("*") if path.is_file() and path.name != TIMING)
    return {str(path.relative_to(place)): path.read_bytes() for path in found}


@pytest.fixture(scope="module")
def projected(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What one machine made, `whole`, and two shards."""
    place = tmp_path_factory.mktemp("projected")
    asked = project(folder)
    assert main([*asked, "--out", str(place / "whole")]) == 2
    for shard in PARTS:
        assert main([*asked, "--out", str(place / shard[0]), "--shard", shard]) == 2
    return place


def project(folder: Path) -> list[str]:
    return ["project", str(folder), "--projector", "policy", "--workers", "0", "--to", "bvh"]


def test_projected_shards_are_what_one_machine_makes(
    projected: Path, folder: Path, tmp_path: Path, capsys: Said
) -> None:
    out, parts = tmp_path / "merged", [str(projected / shard[0]) for shard in PARTS]
    names = [{path.stem for path in (projected / shard[0] / "sources").iterdir()} for shard in PARTS]
    assert names[0] | names[1] == {"clip0", "clip0_2", "clip1", "clip2"}
    assert not names[0] & names[1]
    table = tmp_path / "merged.json"
    merged = main([*project(folder), "--out", str(out), "--merge", *parts, "--json", str(table)])
    assert merged == 2, "a file could not be read, here as there"
    assert files_of(out) == files_of(projected / "whole")
    assert all(row["wall_s"] > 0 for row in json.loads(table.read_text())["clips"]), "the shards' own times"
    assert "broken.npz" in capsys.readouterr().err


def test_a_shard_of_project_that_is_missing_or_other_is_refused(
    projected: Path, folder: Path, tmp_path: Path, capsys: Said
) -> None:
    out, parts = tmp_path / "merged", [str(projected / shard[0]) for shard in PARTS]
    asked = [*project(folder), "--out", str(out)]
    assert main([*asked, "--merge", parts[0]]) == 2
    assert "is in none of 1 folders; a shard is missing or not finished" in capsys.readouterr().err
    assert main([*asked, "--selection.min-skill", "0.4", "--merge", *parts]) == 2
    assert "is made with other settings, input, code or versions in" in capsys.readouterr().err
    spoilt = tmp_path / "spoilt"
    shutil.copytree(projected / "2", spoilt)
    next((spoilt / "rollouts").iterdir()).write_bytes(b"other")
    assert main([*asked, "--merge", parts[0], str(spoilt)]) == 2
    assert "changed since it was written; run that shard again" in capsys.readouterr().err
    assert main([*asked, "--shard", "1/2", "--dry-run"]) == 2
    assert "expected one of them" in capsys.readouterr().err
    assert files_of(out) == {}, "nothing was taken over"


def test_measured_shards_are_what_one_machine_measures(folder: Path, tmp_path: Path, capsys: Said) -> None:
    asked, whole, merged = ["evaluate", str(folder), "--rank"], tmp_path / "whole.json", tmp_path / "merged.json"
    drops = [tmp_path / "whole.txt", tmp_path / "merged.txt"]
    assert main([*asked, "--json", str(whole), "--html", str(tmp_path / "a.html"), "--drop", str(drops[0])]) == 2
    tables = [str(tmp_path / f"{shard[0]}.json") for shard in PARTS]
    for shard, table in zip(PARTS, tables, strict=True):
        assert main([*asked, "--json", table, "--shard", shard]) in (0, 2)
    rows = [[row["path"] for row in json.loads(Path(table).read_text())["clips"]] for table in tables]
    assert all(rows)
    assert not set(rows[0]) & set(rows[1])
    capsys.readouterr()
    again = [*asked, "--json", str(merged), "--html", str(tmp_path / "b.html"), "--drop", str(drops[1])]
    assert main([*again, "--merge", *reversed(tables)]) == 2
    assert merged.read_bytes() == whole.read_bytes()
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()
    assert drops[0].read_bytes() == drops[1].read_bytes()
    assert "broken.npz" in capsys.readouterr().err


def test_a_measured_shard_that_is_missing_or_other_is_refused(folder: Path, tmp_path: Path, capsys: Said) -> None:
    asked, table = ["evaluate", str(folder), "--no-wrench"], str(tmp_path / "1.json")
    refused: dict[str, list[str]] = {
        "shard 2/2 is missing": [table],
        "shard 1/2, as": [table, table],
        "not the table of a shard": [table, str(tmp_path / "whole.json")],
        "no such file": [table, str(tmp_path / "nowhere.json")],
    }
    assert main([*asked, "--json", table, "--shard", "1/2"]) in (0, 2)
    assert main([*asked, "--json", str(tmp_path / "whole.json")]) == 2
    for why, tables in refused.items():
        capsys.readouterr()
        assert main([*asked, "--merge", *tables]) == 2
        assert why in capsys.readouterr().err.lower()
    assert main([*asked, "--ground", "lowest", "--merge", table]) == 2
    assert "made with other settings" in capsys.readouterr().err
    assert main(["evaluate", str(folder / "clip0.npz"), "--no-wrench", "--merge", table]) == 2
    assert "made with other files" in capsys.readouterr().err
    assert main([*asked, "--shard", "1/2"]) == 2
    assert "expected --json FILE for --merge to take" in capsys.readouterr().err


def test_a_bench_in_shards_has_the_figures_of_one_machine(folder: Path, tmp_path: Path, capsys: Said) -> None:
    asked = ["bench", "imitator", "--clips", str(folder), "--columns", "policy", "--workers", "0", "--seconds", "0.5"]
    told: dict[str, Any] = {}
    assert main([*asked, "--out", str(tmp_path / "whole")]) == 2
    for shard in PARTS:
        assert main([*asked, "--out", str(tmp_path / shard[0]), "--shard", shard]) == 2
    parts = [str(tmp_path / shard[0]) for shard in PARTS]
    assert main([*asked, "--out", str(tmp_path / "merged"), "--merge", *parts]) == 2
    for name in ("whole", "merged"):
        told[name] = json.loads((tmp_path / name / "imitator.json").read_text())
        for cells in told[name]["sets"]["clips"]["columns"]["policy"].values():
            assert cells.pop("seconds_per_second", 1.0) > 0
    assert told["whole"] == told["merged"]
    rows = [sorted(without_time(tmp_path / name)) for name in ("whole", "merged")]
    assert rows[0] == rows[1]
    capsys.readouterr()
    assert main([*asked, "--out", str(tmp_path / "lacking"), "--merge", parts[0]]) == 2
    assert "a shard is missing, not finished or made with other settings" in capsys.readouterr().err
    assert main([*asked, "--out", str(tmp_path / "lacking"), "--merge", parts[0], str(tmp_path / "nowhere")]) == 2
    assert "expected the work folder of a shard" in capsys.readouterr().err
    assert not (tmp_path / "nowhere").exists()


def without_time(folder: Path) -> list[str]:
    """The rows of a bench but for their wall times."""
    rows = [json.loads(line) for line in (folder / "rows.jsonl").read_text().splitlines()]
    return [json.dumps({name: value for name, value in row.items() if name != "wall_s"}) for row in rows]
