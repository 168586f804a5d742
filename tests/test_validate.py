"""`morphloop validate`: every planted problem is named by field, clean files pass, --fix mends what is no guess."""

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from morphloop.base import MotionError
from morphloop.cli import main
from morphloop.motion import (
    FORMATS,
    Clip,
    JointTrack,
    Skeleton,
    as_format,
    find_motions,
    load_clip,
    make_corpus,
    read_motion,
    save_clip,
    write_motion,
)
from morphloop.motion.config import ReadingConfig
from morphloop.motion.problems import Problem, find_problems
from morphloop.motion.repair import repair
from morphloop.motion.rotations import quat_continuous, quat_from_rotvec

SHARED = Path(os.environ.get("MORPHLOOP_SHARED", Path(__file__).resolve().parents[2] / "shared"))
CLIP = make_corpus(1, 1)[0]


def run(capsys, *args):
    """Exit code, stdout and the lines of stderr."""
    code = main(["validate", *[str(arg) for arg in args]])
    out, err = capsys.readouterr()
    return code, out, err.strip().splitlines()


def changed(path: Path, meta: dict | None = None, **arrays) -> Path:
    """An npz with arrays replaced (None: taken out) and values of its meta changed."""
    with np.load(path) as data:
        held = dict(data)
    if meta is not None:
        held["meta"] = np.array(json.dumps(json.loads(str(held["meta"])) | meta))
    held = {key: value for key, value in (held | arrays).items() if value is not None}
    np.savez(path, **held)
    return path


def written(folder: Path, to: str, motion=CLIP) -> Path:
    return write_motion(folder / f"a{FORMATS[to].suffix}", as_format(motion, to), to)


PERSONS = [to for to, form in FORMATS.items() if form.of != "robot" and to != "lafan-bvh"]
"""Layouts that our readers take without a robot; LAFAN1's joint names are not known to them."""


@pytest.mark.parametrize("to", PERSONS)
def test_our_own_files_are_clean(tmp_path, to):
    assert find_problems(written(tmp_path, to), 20.0 if to == "humanml3d-joints" else None) == []


def test_fitted_clips_are_clean(tmp_path):
    track = as_format(make_corpus(1, 2)[0].slice(0, 40), "humanml3d-joints")
    assert find_problems(written(tmp_path, "clip", track)) == []


def test_real_files_are_clean():
    folders = [SHARED / "data" / part for part in ("asap_video_smpl", "cmu/bvh", "generated/joints22", "xia_style_bvh")]
    if not folders[0].exists():
        pytest.skip(f"no {folders[0]}: set MORPHLOOP_SHARED")
    paths = [path for folder in folders for path in find_motions(folder)]
    assert len(paths) > 60
    assert [problem for path in paths[::5] for problem in find_problems(path)] == []


def one(path: Path, field: str, *words: str, fps: float | None = None, fixable: bool = False) -> None:
    """The file has this one problem."""
    problems = find_problems(path, fps)
    assert [p.field for p in problems] == [field]
    assert problems[0].path.startswith(str(path))
    assert problems[0].fixable is fixable
    for word in words:
        assert word in str(problems[0]), problems[0]
    assert "\n" not in str(problems[0])


def test_nan_frames_are_counted(tmp_path):
    for to, key in (("clip", "root_pos"), ("amass", "poses"), ("mjlab", "body_pos_w"), ("amass", "trans")):
        path = written(tmp_path, to)
        array = np.load(path)[key].copy()
        array[[3, 5]] = np.nan
        one(changed(path, **{key: array}), key, "in 2 of", "first in frame 3", "finite numbers")
    joints = np.load(written(tmp_path, "humanml3d-joints"))
    joints[7] = np.inf
    np.save(tmp_path / "a.npy", joints)
    one(tmp_path / "a.npy", "array", "in 1 of", "frame 7", fps=20.0)
    path = written(tmp_path, "bvh")
    lines = path.read_text().splitlines()
    lines[-2] = "nan " + lines[-2].partition(" ")[2]
    path.write_text("\n".join(lines))
    one(path, "channels", "in 1 of", f"frame {CLIP.num_frames - 2}")


def test_quaternions(tmp_path):
    rotations = CLIP.rotations.copy()
    path = changed(written(tmp_path, "clip"), rotations=1.5 * rotations)
    one(path, "rotations", "unit quaternions", "1.5", fixable=True)
    flipped = rotations.copy()
    flipped[10:, 3] *= -1
    one(changed(path, rotations=flipped), "rotations", "1 sign flips, first in frame 10", fixable=True)
    zero = rotations.copy()
    zero[4, 2] = 0
    one(changed(path, rotations=zero), "rotations", "of length 0, first in frame 4")
    path = written(tmp_path, "mjlab")
    quats = np.load(path)["body_quat_w"].copy()
    quats[1::2] *= -1
    one(changed(path, body_quat_w=quats), "body_quat_w", "sign flips", fixable=True)


def test_frame_rates(tmp_path):
    one(written(tmp_path, "humanml3d-joints"), "fps", "none in the file", fixable=True)
    path = written(tmp_path, "amass")
    one(changed(path, mocap_framerate=None), "fps", "none in the file", fixable=True)
    one(changed(path, mocap_framerate=np.array(0.0)), "fps", "mocap_framerate 0.0", fixable=True)
    one(changed(path, mocap_framerate=np.array(np.nan)), "fps", "nan", fixable=True)
    one(changed(written(tmp_path, "clip"), meta={"fps": -30}), "fps", "-30", fixable=True)
    path = written(tmp_path, "bvh")
    path.write_text(path.read_text().replace("Frame Time: 0.03", "Frame Time: -0.03"))
    one(path, "fps", "above 0", fixable=True)
    one(written(tmp_path, "bvh"), "fps", "30 fps and --fps 60", fps=60.0)


def test_root_that_jumps(tmp_path):
    root = CLIP.root_pos.copy()
    root[20:, 0] += 2.0
    path = save_clip(tmp_path / "a.npz", replace(CLIP, root_pos=root))
    one(path, "root speed", "after frame 19", "at most 15 m/s")


def test_a_bvh_in_centimetres_is_no_problem_and_a_jump_in_it_is(tmp_path):
    skeleton = Skeleton(CLIP.skeleton.names, CLIP.skeleton.parents, 100.0 * CLIP.skeleton.offsets)
    large = replace(CLIP, skeleton=skeleton, root_pos=100.0 * CLIP.root_pos)
    assert find_problems(written(tmp_path, "bvh", large)) == []
    root = large.root_pos.copy()
    root[20:, 0] += 200.0
    one(written(tmp_path, "bvh", replace(large, root_pos=root)), "root speed", "after frame 19")


def test_units(tmp_path):
    path = written(tmp_path, "amass")
    one(changed(path, trans=np.array([0.0, 0.0, 91.0]) + 0 * CLIP.root_pos), "root height", "centimetres")
    track = as_format(CLIP, "humanml3d-joints")
    assert isinstance(track, JointTrack)
    write_motion(tmp_path / "cm.npy", replace(track, positions=100.0 * track.positions), "humanml3d-joints")
    fields = {p.field: str(p) for p in find_problems(tmp_path / "cm.npy", 20.0)}
    assert "centimetres" in fields["joint positions"]


def test_y_up(tmp_path):
    track = as_format(CLIP, "humanml3d-joints")
    assert isinstance(track, JointTrack)
    tipped = track.positions[..., [2, 0, 1]][..., [1, 2, 0]][..., [0, 2, 1]] * [1.0, 1.0, -1.0]
    lying = replace(track, positions=tipped)
    assert np.ptp(lying.positions[0, :, 1]) > 1.2
    one(save_clip(tmp_path / "a.npz", lying), "up axis", "Z up")


def test_joint_names(tmp_path):
    names = ("root", *[f"thing_{k}" for k in range(23)])
    path = save_clip(
        tmp_path / "a.npz", replace(CLIP, skeleton=Skeleton(names, CLIP.skeleton.parents, CLIP.skeleton.offsets))
    )
    one(path, "joints", "thing_0", "SMPL joint names")


def test_joint_names_of_a_track(tmp_path):
    track = JointTrack(20.0, ("a", "b"), np.array([[[0, 0, 0.9], [0, 0, 1.7]]]))
    one(save_clip(tmp_path / "a.npz", track), "joints", "a, b", "HumanML3D")


def test_empty_and_damaged(tmp_path):
    path = written(tmp_path, "amass")
    data = dict(np.load(path))
    changed(path, poses=data["poses"][:0], trans=data["trans"][:0])
    assert {p.field for p in find_problems(path)} == {"poses", "trans"}
    for name in ("empty.npz", "empty.bvh", "empty.npy", "empty.amc"):
        (tmp_path / name).write_bytes(b"")
        assert len(find_problems(tmp_path / name, 30.0)) == 1
    one(changed(written(tmp_path, "clip"), meta={"schema": 99}), "schema", "99")


def test_times_and_frame_numbers_that_do_not_rise(tmp_path):
    path = written(tmp_path, "amass")
    times = np.arange(CLIP.num_frames) / 30.0
    times[5] = times[3]
    one(changed(path, timestamps=times), "timestamps", "times that rise", "0.1 after 0.133")
    (tmp_path / "01.amc").write_text(":DEGREES\n1\nroot 0\n3\nroot 0\n2\nroot 0\n")
    numbers = [p for p in find_problems(tmp_path / "01.amc", 120.0) if p.field == "frame numbers"]
    assert [p.found for p in numbers] == ["3 after 1, 2 such steps"]


def test_all_problems_of_a_file_are_named(tmp_path):
    rotations, root = 2.0 * CLIP.rotations, CLIP.root_pos.copy()
    rotations[10:, 3] *= -1
    root[2] = np.nan
    path = changed(written(tmp_path, "clip"), meta={"fps": 0}, rotations=rotations, root_pos=root)
    found = [(p.field, p.fixable) for p in find_problems(path)]
    assert found == [("root_pos", False), ("rotations", True), ("rotations", True), ("fps", True)]


def test_a_file_without_fps_is_looked_at_further(tmp_path):
    path = changed(written(tmp_path, "amass"), mocap_framerate=None, trans=CLIP.root_pos + np.array([0, 0, 90.0]))
    assert [p.field for p in find_problems(path)] == ["fps", "root height"]


# --fix


def test_fix_mends_sign_length_and_rate_into_a_new_file(tmp_path, capsys):
    rotations = 2.0 * CLIP.rotations
    rotations[10:, 3] *= -1
    path = changed(written(tmp_path / "in", "clip"), meta={"fps": 0}, rotations=rotations)
    before = path.read_bytes()
    code, said, _ = run(capsys, path, "--fix", "--out", tmp_path / "out", "--fps", 30, "--json", tmp_path / "r.json")
    assert code == 0
    assert said.count("mended in") == 3
    assert path.read_bytes() == before
    clip = load_clip(tmp_path / "out" / "a.npz")
    assert isinstance(clip, Clip)
    assert clip.fps == 30.0
    assert np.allclose(clip.rotations, CLIP.rotations, atol=1e-6)
    assert clip.provenance.stage == "repair"
    assert find_problems(tmp_path / "out" / "a.npz") == []
    (row,) = json.loads((tmp_path / "r.json").read_text())["files"]
    assert (row["problems"], len(row["mended"]), row["out"]) == ([], 3, str(tmp_path / "out" / "a.npz"))
    assert {"path", "field", "expected", "found", "fixable"} == row["mended"][0].keys()


def test_fix_says_what_it_could_not_mend(tmp_path, capsys):
    rotations, root = 2.0 * CLIP.rotations, CLIP.root_pos.copy()
    root[2] = np.nan
    path = changed(written(tmp_path / "in", "clip"), rotations=rotations, root_pos=root)
    code, said, _ = run(capsys, path, "--fix", "--out", tmp_path / "out")
    assert code == 1
    lines = said.splitlines()
    assert "root_pos" in lines[0]
    assert "mended" not in lines[0]
    assert "mended in" in lines[1]
    assert lines[-1] == "1 file: 0 clean, 1 with problems, 1 mended copy written"


@pytest.mark.parametrize("to", ["humanml3d-joints", "amass", "bvh"])
def test_fix_writes_a_missing_rate(tmp_path, capsys, to):
    path = written(tmp_path / "in", to)
    if to == "amass":
        changed(path, mocap_framerate=None)
    elif to == "bvh":
        path.write_text("".join(line for line in path.read_text().splitlines(True) if "Frame Time" not in line))
    assert run(capsys, path, "--fix", "--out", tmp_path / "no")[0] == 1  # no rate given: nothing to write
    assert list((tmp_path / "no").iterdir()) == []
    assert run(capsys, path, "--fix", "--out", tmp_path / "out", "--fps", 20)[0] == 0
    (made,) = (tmp_path / "out").iterdir()
    assert read_motion(made).fps == 20.0
    assert np.allclose(read_motion(made).positions, read_motion(path, 20).positions, atol=1e-6)


def test_fix_never_writes_over_a_file(tmp_path, capsys):
    path = changed(written(tmp_path, "clip"), rotations=2.0 * CLIP.rotations)
    before = path.read_bytes()
    code, _, lines = run(capsys, path, "--fix", "--out", tmp_path)
    assert code == 2
    assert "the file itself" in lines[0]
    assert path.read_bytes() == before
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.npz").write_bytes(b"mine")
    assert run(capsys, path, "--fix", "--out", tmp_path / "out")[0] == 2
    assert (tmp_path / "out" / "a.npz").read_bytes() == b"mine"
    with pytest.raises(MotionError, match="at most 1000"):
        repair(path, tmp_path / "other", [Problem(str(path), "fps", "", "", True)], ReadingConfig(1e9))


def test_clean_files_are_not_copied(tmp_path, capsys):
    path = written(tmp_path / "in", "clip")
    assert run(capsys, path, "--fix", "--out", tmp_path / "out")[0] == 0
    assert list((tmp_path / "out").iterdir()) == []


# the command


def test_exit_codes(tmp_path, capsys):
    folder = tmp_path / "in"
    written(folder, "clip")
    code, said, lines = run(capsys, folder)
    assert (code, said, lines) == (0, "1 file: 1 clean, 0 with problems\n", [])
    (folder / "bad.bvh").write_text("junk")
    code, said, _ = run(capsys, folder, "--json", tmp_path / "r.json")
    assert code == 1
    assert f"{folder / 'bad.bvh'}: line 1: found 'junk' is malformed" in said
    report = json.loads((tmp_path / "r.json").read_text())
    assert report["schema"] == 1
    assert [bool(row["problems"]) for row in report["files"]] == [False, True]
    code, _, lines = run(capsys, folder, tmp_path / "absent.bvh")
    assert code == 2
    assert len(lines) == 1
    assert run(capsys)[0] == 2
    code, _, lines = run(capsys, folder, "--fix")
    assert code == 2
    assert "--out DIR" in lines[0]


def test_continuous_quaternions():
    rng = np.random.default_rng(0)
    smooth = quat_from_rotvec(np.cumsum(0.2 * rng.normal(size=(50, 3, 3)), axis=0))
    smooth = quat_continuous(smooth)
    assert ((smooth[1:] * smooth[:-1]).sum(-1) >= 0).all()
    signs = rng.choice([-1.0, 1.0], size=(50, 3, 1))
    signs[0] = 1.0
    assert np.allclose(quat_continuous(signs * smooth), smooth)


def test_fix_never_hides_a_rate_that_disagrees_and_overrules_it_where_that_is_said(tmp_path, capsys):
    path = written(tmp_path, "bvh")
    code, out, _ = run(capsys, path, "--fps", 4 * CLIP.fps, "--fix", "--out", tmp_path / "a")
    assert code == 1
    assert f"the file says {CLIP.fps:g} fps and --fps {4 * CLIP.fps:g}" in out
    assert not list((tmp_path / "a").iterdir())
    code, _, _ = run(capsys, path, "--fps", 4 * CLIP.fps, "--overrule-fps", "--fix", "--out", tmp_path / "b")
    assert code == 0
    assert read_motion(tmp_path / "b" / path.name).fps == 4 * CLIP.fps
