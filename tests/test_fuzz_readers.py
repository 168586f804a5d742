"""Damaged files of every layout: refused in one line or taken whole, never anything else (a part of the benchmark)."""

import importlib.util
import json
import signal
import sys
from pathlib import Path

import numpy as np
import pytest

from morphloop.base import MotionError
from morphloop.motion import read_motion

BENCHMARKS = Path(__file__).resolve().parent.parent / "benchmarks"
COUNT = 60


def module(name: str):
    """A script of benchmarks/, which is no package; it finds its neighbours by name."""
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, BENCHMARKS / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


fuzz_seeds, fuzz_mutations = module("fuzz_seeds"), module("fuzz_mutations")
fuzz_hostile = module("fuzz_hostile")
fuzz_readers = module("fuzz_readers")
HEADROOM = 1 << 29
"""Bytes that a hostile file may take: the largest that is read whole here has 72 MB."""
HOSTILE = (
    *("bones.amc", "brackets.json", "bytes_become_doubles.npz", "bzip2.npz", "chain.npz", "encode.pkl", "fps_text.npz"),
    *("frame_time_denormal.bvh", "frames_of_joints.npz", "itself.pkl", "laughs.pkl", "lines.bvh", "lines.pkl"),
    *("lists.json", "members.npz", "meta_nested.npz", "meta_nested_objects.npz", "name_surrogate.npz", "one_row.bvh"),
    *("provenance_list.npz", "provenance_types.npz", "rate_denormal.npz", "rate_of_a_century.npz", "tall.smpl.pkl"),
    *("texts.npz", "texts_number.npz", "texts_of_no_letters.npz", "trial.amc", "utf16.bvh", "voids.npz"),
    *("texts_beyond_unicode.npz", "wide.smpl.pkl"),
)
TAKEN = ("key_surrogate.pkl", "texts_surrogate.npz")
"""Strange and harmless: half a character in a name or a caption is replaced."""
FORMATS = (
    *("clip", "joint clip", "rollout", "joints npy", "joints npz", "joints batch", "humanml3d 263", "amass smpl-h"),
    *("smpl 72", "amass smpl-x", "aist++ pkl", "phc pkl", "amp npy", "deepmimic json", "deepmimic npz", "kimodo npz"),
    *("mjlab npz", "mjlab robot npz", "robot arrays npz", "gmr pkl", "asap pkl", "robot csv", "bvh", "amc", "asf"),
    *("smpl model pkl", "dance pkl", "smplx names", "wham pkl", "gvhmr pt", "mdm results", "qpos npz", "array a joint"),
)


@pytest.fixture(scope="module")
def seeds(tmp_path_factory):
    return fuzz_seeds.make_seeds(tmp_path_factory.mktemp("seeds"))


@pytest.fixture
def alarm(monkeypatch):
    """The handler that the worker installs; no bombs, which take seconds to make."""
    monkeypatch.setattr(fuzz_mutations, "BOMB_CHANCE", 0.0)
    before = signal.signal(signal.SIGPROF, fuzz_readers._alarm)
    yield
    signal.signal(signal.SIGPROF, before)


@pytest.fixture(scope="module")
def verdicts():
    return fuzz_readers.hostile(HEADROOM)


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_are_refused_in_one_line_and_little_memory(name, verdicts):
    assert verdicts[name][0] == "refused", verdicts[name]


def test_hostile_files_that_are_harmless_are_taken(verdicts):
    assert {name for name, (verdict, _) in verdicts.items() if verdict == "accepted"} == set(TAKEN)
    assert set(verdicts) == {*HOSTILE, *TAKEN}


def test_every_layout_is_here(seeds):
    assert set(FORMATS) == set(seeds)


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.filterwarnings("ignore")
def test_damaged_files_are_refused_or_taken_whole(name, seeds, alarm, tmp_path):
    assert fuzz_readers.try_one(seeds[name], seeds[name].data, tmp_path) == ("accepted", "")
    verdicts = []
    for index in range(COUNT):
        verdict, said = fuzz_readers.try_one(seeds[name], fuzz_readers.mutated(seeds, name, index, 1), tmp_path)
        assert verdict != "fault", f"{name} {index}: {said}"
        verdicts.append(verdict)
    assert verdicts.count("refused") >= 3


def test_a_colon_alone_in_an_asf(seeds, alarm, tmp_path):
    """Found by the full run: two of 2,000 files."""
    text = seeds["asf"].data.replace(b":bonedata", b":\n:bonedata")
    assert fuzz_readers.try_one(seeds["asf"], text, tmp_path) == ("accepted", "")
    text = seeds["asf"].data.replace(b":bonedata", b":")
    assert fuzz_readers.try_one(seeds["asf"], text, tmp_path)[0] == "refused"


def test_mutations_are_the_same_in_every_run(seeds, alarm):
    made = [fuzz_readers.mutated(seeds, "bvh", k, 0) for k in range(20)]
    assert made == [fuzz_readers.mutated(seeds, "bvh", k, 0) for k in range(20)]
    assert len(set(made)) > 15
    assert made != [fuzz_readers.mutated(seeds, "bvh", k, 1) for k in range(20)]


def test_a_bomb_is_refused_unread(seeds, tmp_path, monkeypatch):
    monkeypatch.setattr(fuzz_mutations, "BOMBS", ((3, 12_000_000),))
    data = fuzz_mutations.bomb(np.random.default_rng(0), seeds["smpl 72"].data)
    assert len(data) < 1 << 21
    (tmp_path / "a.npz").write_bytes(data)
    with pytest.raises(MotionError, match=r"unpacks to 27[45] MiB"):
        read_motion(tmp_path / "a.npz")


@pytest.mark.parametrize(
    ("read", "said"),
    [
        (lambda path: 1 / 0, "ZeroDivisionError"),
        (lambda path: (_ for _ in ()).throw(MotionError("a\nb")), "several lines"),
        (lambda path: (_ for _ in ()).throw(MotionError("Unable to allocate 9 GiB")), "ran out of memory"),
    ],
)
def test_faults_are_seen(alarm, tmp_path, read, said):
    verdict, words = fuzz_readers.try_one(
        fuzz_seeds.Seed(b"", ".x", lambda path: next(iter([read(path)])), {}), b"", tmp_path
    )
    assert verdict == "fault"
    assert said in words


def test_hangs_and_numbers_that_are_none_are_seen(alarm, tmp_path, seeds, monkeypatch):
    monkeypatch.setattr(fuzz_readers, "SECONDS", 0.05)

    def hang(path):
        while True:
            pass

    assert fuzz_readers.try_one(fuzz_seeds.Seed(b"", ".x", hang, {}), b"", tmp_path)[0] == "fault"
    clip = read_motion_of(seeds["clip"], tmp_path)
    clip.root_pos[3] = np.nan
    verdict, words = fuzz_readers.try_one(fuzz_seeds.Seed(b"", ".x", lambda path: [clip], {}), b"", tmp_path)
    assert (verdict, words) == ("fault", "accepted with positions that are not finite")


def read_motion_of(seed, folder: Path):
    (folder / "a.npz").write_bytes(seed.data)
    return read_motion(folder / "a.npz")


def test_workers_report_every_mutation():
    rows = fuzz_readers.run("asf", 5, 0)
    assert [row["index"] for row in rows] == [0, 1, 2, 3, 4]
    assert {row["verdict"] for row in rows} <= {"refused", "accepted"}
    table = fuzz_readers.report({"asf": rows})
    assert table.splitlines()[-1].startswith("| all | 5 |")
    assert json.dumps(rows)
