"""The boundary that every command passes: whatever a file, a name, a number or a terminal does, one line and 0 or 2."""

import json
import os
import socket
import struct
import subprocess
import sys
import tracemalloc
from dataclasses import replace
from pathlib import Path

import mujoco
import numpy as np
import pytest

from morphloop.base import MotionError
from morphloop.base.names import MAX_NAME, file_name, free_name, shown
from morphloop.base.opening import open_regular, parse_json, tree_size
from morphloop.base.writing import write_atomic
from morphloop.cli import main
from morphloop.generator import FolderGenerator
from morphloop.motion import Clip, find_motions, load_clip, make_corpus, read_motions, save_clip
from morphloop.motion.own_outputs import config_of, pass_over_own
from morphloop.motion.readers import formats
from morphloop.refinement_loop.ledger import open_own
from morphloop.refinement_loop.prompts import MAX_PROMPTS, read_prompts
from morphloop.sim import default_body

BAD_NAMES = ("m[/b]", "[red]walk[take 2]", "a\x1b[2Jb", "right\u202eleft", "n" * 245)


@pytest.fixture(scope="module")
def walk() -> Clip:
    return make_corpus(1, 0)[0].slice(0, 20)


def run(capsys: pytest.CaptureFixture[str], *args: object) -> tuple[int, str, list[str]]:
    """Exit code, what stands on stdout, lines on stderr."""
    capsys.readouterr()
    code = main([str(arg) for arg in args])
    said = capsys.readouterr()
    assert "Traceback" not in said.err
    return code, said.out, said.err.splitlines()


COMMANDS = {
    "evaluate": ("--workers", "0", "--no-wrench"),
    "validate": (),
    "convert": ("--to", "bvh", "--out", "OUT"),
}


def arguments(command: str, folder: Path, out: Path) -> list[object]:
    return [command, folder, *(out if flag == "OUT" else flag for flag in COMMANDS[command])]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_reader_that_breaks_costs_one_clip_and_not_the_batch(command, walk, tmp_path, capsys, monkeypatch):
    """Whatever a reader raises, not only its own error: the good clips are done, the bad one is a line."""
    for name in ("good", "worse"):
        save_clip(tmp_path / "in" / f"{name}.npz", walk)
    (tmp_path / "in" / "broken.bvh").write_text("HIERARCHY")
    raised = iter([RecursionError("deep"), OverflowError("large"), AttributeError("none"), MemoryError()])

    def breaks(path, fps, robot):
        raise next(raised)

    table = tuple(replace(form, read=breaks) if ".bvh" in form.suffixes else form for form in formats.FORMATS)
    monkeypatch.setattr(formats, "FORMATS", table)
    for _ in range(4):
        result = tmp_path / "r.json"
        overwrite = ["--overwrite"] if command == "convert" else []
        code, _, lines = run(
            capsys, *arguments(command, tmp_path / "in", tmp_path / "out"), *overwrite, "--json", result
        )
        assert code == (1 if command == "validate" else 2)
        found = json.loads(result.read_text())
        assert len(found.get("clips", found.get("files"))) == (3 if command == "validate" else 2)
        assert len(lines) == (0 if command == "validate" else 1)


@pytest.mark.parametrize("name", BAD_NAMES)
def test_names_from_outside_are_shown_and_written_as_they_are(name, walk, tmp_path, capsys):
    folder = tmp_path / name
    save_clip(folder / f"{name}.npz", walk)
    for command in COMMANDS:
        code, out, lines = run(capsys, *arguments(command, folder, tmp_path / f"out {command}"))
        assert code == 0, (command, lines)
        assert "\x1b[2J" not in out + "".join(lines)
        assert "\u202e" not in out + "".join(lines)
    code, out, lines = run(capsys, "evaluate", folder / f"{name}.npz", "--workers", "0", "--html", tmp_path / "p.html")
    assert code == 0
    assert "\u202e" not in (tmp_path / "p.html").read_text()


def test_a_file_name_that_is_not_utf8(walk, tmp_path, capsys):
    odd = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.npz")
    os.rename(save_clip(tmp_path / "a.npz", walk), odd)
    for command in COMMANDS:
        code, _, lines = run(capsys, *arguments(command, tmp_path, tmp_path / f"out {command}"))
        assert code == 0, (command, lines)
    np.savez(tmp_path / "j.npz", joints=np.zeros((20, 22, 3)), fps=30.0)
    os.rename(tmp_path / "j.npz", odd)
    (_, read), *_ = read_motions(odd)
    assert read().name == "caf?"


def test_long_names_are_cut_and_stay_two(walk, tmp_path):
    first, second = file_name("n" * 300 + "a"), file_name("n" * 300 + "b")
    assert first != second
    assert max(len(first.encode()), len(file_name("é" * 200).encode())) <= MAX_NAME
    assert file_name("walk:03/turn") == "walk_03_turn"
    assert file_name("a\x1b[2J\u202e") == "a_[2J_"
    taken = {"walk", "walk_2_rescued"}
    assert free_name("walk", taken, "_rescued") == "walk_3"
    assert save_clip(tmp_path / ("n" * 250 + ".npz"), walk).is_file()


def test_what_is_shown_moves_no_cursor():
    assert shown("a\x1b[31mb\x07\u202ec\udcff\n") == "a\\x1b[31mb\\x07\\u202ec\\udcff\\n"
    assert shown("Gehen, 歩く 🚶") == "Gehen, 歩く 🚶"


@pytest.fixture
def strange(tmp_path):
    """A folder with a pipe, a socket, links to a device, to itself, out of it and within, beside one clip."""
    folder = tmp_path / "strange"
    folder.mkdir()
    os.mkfifo(folder / "pipe.npz")
    # a socket's path has 107 bytes at most
    here = os.getcwd()
    os.chdir(folder)
    try:
        listening = socket.socket(socket.AF_UNIX)
        listening.bind("socket.bvh")
    finally:
        os.chdir(here)
    (folder / "zero.json").symlink_to("/dev/zero")
    (folder / "self").symlink_to(folder)
    (folder / "up.npz").symlink_to(folder / "up.npz")
    yield folder
    listening.close()


def test_folders_give_regular_files_alone_and_say_which_links_they_pass_over(strange, walk, tmp_path, caplog):
    outside = save_clip(tmp_path / "outside.npz", walk)
    (strange / "out.npz").symlink_to(outside)
    with pytest.raises(MotionError, match="4 links out of it are not followed, such as out"):
        list(find_motions(strange))
    inside = save_clip(strange / "deep" / "inside.npz", walk)
    (strange / "alias.npz").symlink_to(inside)
    assert list(find_motions(strange)) == [strange / "alias.npz", inside]
    assert "4 links out of it are not followed" in caplog.text
    assert list(find_motions(strange / "out.npz")) == [strange / "out.npz"]


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("name", ["pipe.npz", "socket.bvh", "zero.json"])
def test_a_pipe_a_socket_or_a_device_is_one_line(command, name, strange, tmp_path, capsys):
    code, _, lines = run(capsys, *arguments(command, strange / name, tmp_path / "out"))
    assert code == 2
    assert len(lines) == 1
    assert "neither a file nor a folder" in lines[0]


@pytest.mark.parametrize(
    "args",
    [
        ("evaluate", "x", "--config", "PLACE"),
        ("loop", "run", "--policy", "none", "--out", "OUT", "--prompts", "PLACE"),
        ("generate", "--prompts-file", "PLACE", "--out", "OUT"),
    ],
)
@pytest.mark.parametrize("place", ["pipe.npz", "zero.json"])
def test_configurations_and_prompts_are_regular_files(args, place, strange, tmp_path, capsys):
    places = {"PLACE": strange / place, "OUT": tmp_path / "out"}
    code, _, lines = run(capsys, *(places.get(arg, arg) for arg in args))
    assert (code, len(lines)) == (2, 1)
    assert "expected a file" in lines[0]


def test_a_prompts_file_with_a_byte_order_mark(tmp_path):
    (tmp_path / "p.txt").write_bytes(b"\xef\xbb\xbfa person walks\r\n")
    assert read_prompts(tmp_path / "p.txt") == ("a person walks",)


@pytest.mark.parametrize(
    "text",
    [
        *("seed: 2001-99-99", "seed: !!int abc", "wrench: !!bool abc", "fps: 2001-01-01 99:99:99"),
        *(
            "seed: " + "[" * 20000 + "]" * 20000,
            "seed: " + "9" * 5000,
            "seed: \x00\x01",
            "? [a, b]\n: 1",
            "seed: *nobody",
        ),
        "a: &a {<<: *a}",
        "seed: [&a0 [l,l,l,l,l,l,l,l,l,l]"
        + "".join(f",&a{k} [{','.join([f'*a{k - 1}'] * 10)}]" for k in range(1, 9))
        + "]",
        "seed: !!python/object/apply:os.system ['touch executed']",
        "seed: &a [*a]",
        "x" * 300_000 + ": 1",
    ],
    ids=range(14),
)
def test_yaml_that_is_hostile_is_one_line(text, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "c.yaml").write_text(text)
    code, _, lines = run(capsys, "bench", "metrics", "--config", tmp_path / "c.yaml")
    assert (code, len(lines)) == (2, 1)
    assert "internal fault" not in lines[0]
    assert len(lines[0]) < 1100
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("evaluate", "CLIP", "--workers", "100000"), "--workers is 100000, expected 0 to 256"),
        (("evaluate", "CLIP", "--fps", "nan"), "--fps is nan, expected 1 to 1000"),
        (("validate", "CLIP", "--fps", "1e-4"), "--fps is 0.0001, expected 1 to 1000"),
        (("convert", "CLIP", "--to", "bvh", "--out", "OUT", "--out-fps", "inf"), "--out-fps is inf"),
        (("loop", "run", "--clips", "CLIP", "--out", "OUT", "--finetune-steps", "-1"), "fine-tuning: -1 steps"),
        (("loop", "run", "--clips", "CLIP", "--out", "OUT", "--finetune-steps", "0"), "fine-tuning: 0 steps"),
        (("loop", "run", "--clips", "CLIP", "--out", "OUT", "--imitate-budget-s", "nan"), "imitate_budget_s is nan"),
        (
            ("loop", "run", "--clips", "CLIP", "--out", "OUT", "--rounds", "100000"),
            "rounds is 100000, expected 1 to 10000",
        ),
        (("evaluate", ""), "an empty value"),
        (("evaluate", "CLIP", "--json="), "an empty value"),
        (("evaluate", "CLIP", "--json", "LONG"), "a name of 300 bytes"),
        (("evaluate", "LONG"), "a name of 300 bytes"),
        (("evaluate", "CLIP", "--json", "CLIP"), "is --paths too"),
        (("evaluate", "CLIP", "--json", "OUT", "--html", "OUT"), "is --html too"),
        (("validate", "CLIP", "--json", "OTHER"), "something else than a result"),
    ],
)
def test_numbers_and_paths_of_the_command_line_have_their_range(args, words, walk, tmp_path, capsys):
    clip = save_clip(tmp_path / "clip.npz", walk)
    places = {"CLIP": clip, "OUT": tmp_path / "out", "LONG": "n" * 300}
    places["OTHER"] = save_clip(tmp_path / "other.npz", walk)
    before = clip.read_bytes()
    code, _, lines = run(capsys, *(places.get(arg, arg) for arg in args))
    assert (code, len(lines)) == (2, 1)
    assert words in lines[0]
    assert clip.read_bytes() == before


def test_a_full_disk_is_a_line_and_an_exit_code(walk, tmp_path, capsys, monkeypatch):
    for name in ("a", "b"):
        save_clip(tmp_path / "in" / f"{name}.npz", walk)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("morphloop.base.writing.os.replace", full)
    code, _, lines = run(capsys, *arguments("convert", tmp_path / "in", tmp_path / "out"))
    assert (code, len(lines)) == (2, 2)
    assert "No space left on device" in lines[0]
    assert list((tmp_path / "out").iterdir()) == []
    with pytest.raises(MotionError, match="No space left"):
        write_atomic(tmp_path / "c", lambda stream: stream.write(b"c"))


def test_a_file_that_vanishes_while_it_is_read(walk, tmp_path, capsys, monkeypatch):
    for name in ("a", "b", "c"):
        save_clip(tmp_path / f"{name}.npz", walk)
    looked = sys.modules["morphloop.motion.readers.find"].may_hold_motion
    monkeypatch.setattr(
        "morphloop.motion.readers.find.may_hold_motion",
        lambda path: looked(path) and (path.stem != "b" or path.unlink() is None),
    )
    code, _, lines = run(capsys, *arguments("convert", tmp_path, tmp_path / "out"))
    assert (code, len(lines)) == (2, 1)
    assert lines[0].endswith("b.npz: no such file")
    assert len(list((tmp_path / "out").glob("*.bvh"))) == 2


def command_line(*args: object, **settings: object) -> subprocess.CompletedProcess[bytes]:
    code = "import sys; from morphloop.cli import main; sys.exit(main())"
    return subprocess.run([sys.executable, "-c", code, *map(str, args)], check=False, **settings)  # type: ignore[call-overload]


def test_a_terminal_of_ascii_and_a_reader_that_leaves(walk, tmp_path):
    save_clip(tmp_path / "in" / "歩く.npz", walk)
    plain = os.environ | {"PYTHONIOENCODING": "ascii:strict"}
    args = ("validate", tmp_path / "in", "--fix", "--out", tmp_path / "out", "--json", tmp_path / "r.json")
    save_clip(tmp_path / "in" / "schnell.npz", walk.with_provenance())
    unreadable = tmp_path / "in" / "kaputt ☹.bvh"
    unreadable.write_text("HIERARCHY")
    done = command_line(*args, env=plain, capture_output=True)
    assert done.returncode == 1, done.stderr
    assert b"kaputt \\u2639.bvh" in done.stdout
    (tmp_path / "r.json").unlink()
    read, write = os.pipe()
    os.close(read)
    gone = command_line(*args, stdout=write, stderr=subprocess.PIPE)
    os.close(write)
    assert (gone.returncode, gone.stderr) == (1, b"")
    assert json.loads((tmp_path / "r.json").read_text())["files"]


def test_a_fault_of_ours_is_one_line_that_names_its_traceback(capsys, monkeypatch):
    monkeypatch.setattr("morphloop.cli.bench.BenchMetrics.run", lambda self: 1 / 0)
    code, _, (line,) = run(capsys, "bench", "metrics")
    assert code == 2
    assert "internal fault (ZeroDivisionError: division by zero)" in line
    kept = Path(line.rpartition(" ")[2])
    assert "1 / 0" in kept.read_text()
    kept.unlink()


def test_what_a_value_unfolds_to_is_counted():
    part: list = [0] * 10
    for _ in range(8):
        part = [part] * 10
    with pytest.raises(MotionError, match="unfold"):
        tree_size(part, 1 << 20, "f")
    assert tree_size([np.zeros(4), {"a": [1, 2]}], 1 << 20, "f") == 8 + 32 + 8 + 8 + 16
    held: list = []
    held.append(held)
    with pytest.raises(MotionError, match="holds itself"):
        tree_size(held, 1 << 20, "f")
    with pytest.raises(MotionError, match="nested too deep"):
        parse_json("[" * 200 + "]" * 200, "f")


def test_a_file_is_opened_only_up_to_its_size(tmp_path):
    (tmp_path / "a").write_bytes(b"12345")
    with pytest.raises(MotionError, match="5 bytes, expected at most 4"):
        open_regular(tmp_path / "a", 4)
    with open_regular(tmp_path / "a", 5) as stream:
        assert stream.read() == b"12345"


def test_texts_that_cannot_be_written_are_mended(walk, tmp_path):
    odd = replace(walk, texts=("a\ud800b",), name="c\udcff").with_provenance(prompt="p\ud800")
    back = load_clip(save_clip(tmp_path / "a.npz", odd))
    assert (back.texts, back.name, back.provenance.prompt) == (("a?b",), "c?", "p?")


PROJECT = ("--projector", "policy", "--workers", "0")


def test_project_does_the_good_clip_whatever_is_named_beside_it(strange, walk, tmp_path, capsys):
    """A path that is missing, a pipe, a device or an empty folder once ended the batch; each is a line of its own."""
    (tmp_path / "empty").mkdir()
    odd = tmp_path / "odd.bvh"
    odd.write_text(
        "HIERARCHY\nROOT x\n{\nOFFSET 0 0 0\nCHANNELS 3 Zrotation Xrotation Yrotation\nEnd Site\n{\nOFFSET 0 1 0\n}\n"
        "}\nMOTION\nFrames: 1\nFrame Time: 0.03\n0 0 0\n"
    )
    bad = [tmp_path / "nothing.npz", strange / "pipe.npz", Path("/dev/zero"), tmp_path / "empty", odd]
    good, out, result = save_clip(tmp_path / "good.npz", walk), tmp_path / "out", tmp_path / "r.json"
    code, _, lines = run(capsys, "project", *bad, good, "--out", out, *PROJECT, "--json", result)
    assert (code, len(lines)) == (2, len(bad))
    for line, path in zip(lines, bad, strict=True):
        assert line.startswith(f"morphloop: {path}: ")
    written = json.loads(result.read_text())
    assert [row["name"] for row in written["clips"]] == ["good"]
    assert [row["path"] for row in written["failed"]] == list(map(str, bad))
    assert load_clip(out / "clips" / "good.npz").num_frames > 1
    assert not [path for path in out.rglob(".*")]


def test_a_record_of_a_finished_clip_that_is_nested_deep_is_done_again(walk, tmp_path, capsys):
    good, out = save_clip(tmp_path / "good.npz", walk), tmp_path / "out"
    first = run(capsys, "project", good, "--out", out, *PROJECT)
    whole = (out / "records" / "good.json").read_bytes()
    for spoilt in ("[" * 100_000, '{"name": "../other", "id": "0", "verdict": "accepted"}'):
        (out / "records" / "good.json").write_text(spoilt)
        code, _, (line,) = run(capsys, "project", good, "--out", out, *PROJECT)
        assert code == first[0]
        assert line.endswith("records/good.json: is damaged; its clip is done again")
        assert (out / "records" / "good.json").read_bytes() == whole


def test_a_pipe_in_the_place_of_a_file_of_ours_holds_nobody(walk, tmp_path, capsys):
    """What opens a pipe that nobody reads waits for ever: `project` did for its manifest, `loop status` too."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(MotionError, match="that nobody reads"):
        write_atomic(pipe, lambda stream: stream.write(b"c"))
    with pytest.raises(MotionError, match="cannot write here"):
        open_own(pipe, os.O_WRONLY | os.O_APPEND)
    with pytest.raises(MotionError, match="is no regular file"):
        open_own(pipe, os.O_RDWR)
    good = save_clip(tmp_path / "good.npz", walk)
    for name in ("config.json", "manifest.jsonl", "timing.jsonl", "records"):
        out = tmp_path / f"with {name}"
        out.mkdir()
        os.mkfifo(out / name)
        code, _, lines = run(capsys, "project", good, "--out", out, *PROJECT)
        assert (code, len(lines)) == (2, 1)
        assert name in lines[0]
    for command in ("status", "resume"):
        code, _, lines = run(capsys, "loop", command, tmp_path / "with config.json")
        assert (code, len(lines)) == (2, 1)
        assert "a named pipe, expected a file" in lines[0]


def test_a_pipe_that_somebody_reads_is_written_to(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    write_atomic(pipe, lambda stream: stream.write(b"figures"))
    assert os.read(reader, 100) == b"figures"
    os.close(reader)


def test_a_file_that_is_too_large_ends_no_loop_over_its_folder(walk, tmp_path):
    """A generator of files was known by the bytes of all of them, so that one of 3 GiB or one that went ended a run."""
    save_clip(tmp_path / "a.npz", walk)
    alone = FolderGenerator(tmp_path).hash()
    for name in ("huge.npz", "gone.bvh"):
        with (tmp_path / name).open("wb") as stream:
            stream.truncate(3 << 30)
    found = FolderGenerator(tmp_path)
    (tmp_path / "gone.bvh").unlink()
    assert found.hash() == alone
    assert sorted(found.failed) == [str(tmp_path / name) for name in ("gone.bvh", "huge.npz")]


def test_prompts_of_a_file_are_counted(tmp_path):
    (tmp_path / "p.txt").write_text("walk\n" * (MAX_PROMPTS + 1))
    with pytest.raises(MotionError, match=f"{MAX_PROMPTS + 1} prompts, expected at most {MAX_PROMPTS}"):
        read_prompts(tmp_path / "p.txt")


def test_a_config_beside_clips_is_read_up_to_a_size_alone(walk, tmp_path):
    for name, text in (("deep", "[" * 100_000), ("large", "[" + "[]," * 12_000_000 + "[]]")):
        clip = save_clip(tmp_path / name / "a.npz", walk)
        (tmp_path / name / "config.json").write_text(text)
        tracemalloc.start()
        assert config_of(tmp_path / name) is None
        assert tracemalloc.get_traced_memory()[1] < 1 << 24, "what a small file of lists unfolds to"
        tracemalloc.stop()
        assert pass_over_own([clip], [tmp_path]) == ([clip], [])


def test_an_unstable_simulation_prints_nothing_and_leaves_no_log(tmp_path, capfd, monkeypatch):
    """MuJoCo's warning named no clip, and MUJOCO_LOG.TXT appeared wherever a command was started."""
    monkeypatch.chdir(tmp_path)
    model = default_body().model
    data = mujoco.MjData(model)
    data.qvel[:] = 1e9
    mujoco.mj_step(model, data)
    assert data.warning[mujoco.mjtWarning.mjWARN_BADQACC].number
    assert "".join(capfd.readouterr()) == ""
    assert list(tmp_path.iterdir()) == []


def archive(path: Path, header: dict | str, data: int = 0) -> Path:
    """A safetensors file of any header, and a hole of `data` bytes behind it."""
    text = (header if isinstance(header, str) else json.dumps(header)).encode()
    with path.open("wb") as stream:
        stream.write(struct.pack("<Q", len(text)) + text)
        stream.truncate(8 + len(text) + data)
    return path


def tensor(shape: list, first: int = 0, last: int = 0, kind: str = "F32") -> dict:
    return {"dtype": kind, "shape": shape, "data_offsets": [first, last]}


@pytest.mark.parametrize(
    ("header", "data", "words"),
    [
        ({"w": tensor([4 << 30, 2], 0, 32 << 30)}, 32 << 30, "expected at most"),
        ({"w": tensor([1 << 20], 0, 4)}, 4, "does not fill"),
        ({"w": tensor([1], 0, 4), "v": tensor([1], 0, 4)}, 4, "one behind the other"),
        ({"w": tensor([1], 0, 4)}, 400, "announces 4 bytes of tensors and holds 400"),
        ({"w": tensor([10**12, 0])}, 0, "tensor"),
        ({"w": tensor([1 << 50, 0])}, 0, "not a count"),
        ({"w": tensor([1], 0, 4, "PICKLE")}, 4, "not told by type"),
        ('{"__metadata__": {"policy": "' + "[" * 100_000 + '"}}', 0, "nested too deep"),
        ("[" * 100_000, 0, "nested too deep"),
    ],
)
def test_weights_are_what_their_header_announces(header, data, words, tmp_path):
    from morphloop.imitator import load_policy

    with pytest.raises(MotionError, match=words if words != "tensor" else "policy header") as caught:
        load_policy(archive(tmp_path / "p.safetensors", header, data))
    assert "\n" not in str(caught.value)


def test_a_policy_with_numbers_that_are_none_is_refused(tmp_path):
    import torch

    from morphloop.imitator import load_policy
    from morphloop.imitator.training.policy import new_policy
    from morphloop.sim import default_body

    policy = new_policy(default_body(), hidden=(8,))
    with torch.no_grad():
        policy.actor[0].bias[3] = torch.nan
    (tmp_path / "p.safetensors").write_bytes(policy.to_bytes())
    with pytest.raises(MotionError, match=r"tensor 'actor.0.bias' holds NaN or infinity"):
        load_policy(tmp_path / "p.safetensors")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"num_hidden_layers": 1_000_000}, "num_hidden_layers is 1000000, expected 1 to 256"),
        ({"num_attention_heads": 0}, "num_attention_heads is 0"),
        ({"model_type": "detr"}, "model_type 'detr', expected one of"),
        ({"attn_implementation": "kernels-community/flash-attn"}, "expected eager or sdpa"),
        ({"auto_map": {"AutoModel": "evil.Model"}}, "never loaded"),
        ({"quantization_config": {"load_in_4bit": True}}, "never loaded"),
        ({"hidden_size": "192"}, "hidden_size is 192, expected 1 to"),
        ({"num_experts_per_tok": 3}, "is no field of a llama configuration"),
        ({"rope_scaling": [[[[[1]]]]]}, "not a plain value"),
        (None, "nested too deep"),
        ([1], "is a list, expected its fields"),
    ],
)
def test_a_generators_configuration_holds_known_fields_and_sizes(change, words, tmp_path):
    from morphloop.cli.console import SHIPPED_GENERATOR, shipped
    from morphloop.generator import load_generator

    folder = tmp_path / "g"
    folder.mkdir()
    for file in shipped(SHIPPED_GENERATOR).iterdir():
        (folder / file.name).symlink_to(file)
    (folder / "config.json").unlink()
    values = json.loads((shipped(SHIPPED_GENERATOR) / "config.json").read_text())
    backbone = values["language_model"]["backbone"]
    values["language_model"]["backbone"] = backbone | change if isinstance(change, dict) else change
    nested = '{"kind": ' + "[" * 100_000
    (folder / "config.json").write_text(nested if change is None else json.dumps(values))
    with pytest.raises(MotionError, match=words) as caught:
        load_generator(folder)
    assert "\n" not in str(caught.value)


ROBOT = '<mujoco>{}<worldbody><body name="a"><freejoint/><geom size="1"/>{}</body></worldbody></mujoco>'


@pytest.mark.parametrize(
    "text",
    [
        ROBOT.format('<asset><hfield name="h" nrow="40000" ncol="40000" size="1 1 1 1"/></asset>', ""),
        ROBOT.format('<asset><texture name="t" type="2d" builtin="flat" width="40000" height="40000"/></asset>', ""),
        ROBOT.format('<size nuserdata="1000000000"/>', ""),
        ROBOT.format("", '<replicate count="3000000"><geom size="1"/></replicate>'),
        ROBOT.format('<include file="pipe.xml"/>', ""),
        ROBOT.format("", "<body/>" * 3).replace("</mujoco>", ""),
    ],
    ids=["hfield", "texture", "userdata", "replicate", "pipe", "cut"],
)
def test_a_robots_file_that_asks_for_the_world_is_one_line(text, tmp_path, monkeypatch):
    from morphloop.sim import load_body
    from morphloop.sim.bodies import mjcf_compile

    monkeypatch.setattr(mjcf_compile, "CPU_SECONDS", 1)
    os.mkfifo(tmp_path / "pipe.xml")
    (tmp_path / "robot.xml").write_text(text)
    with pytest.raises(MotionError, match=r"robot\.xml: (MuJoCo does not compile it|asks for .*pipe)") as caught:
        load_body(tmp_path / "robot.xml")
    assert "\n" not in str(caught.value)


def test_a_child_that_waits_is_not_waited_for(tmp_path, monkeypatch):
    from morphloop.sim import load_body
    from morphloop.sim.bodies import mjcf_compile

    monkeypatch.setattr(mjcf_compile, "WALL_SECONDS", 4)
    os.mkfifo(tmp_path / "pipe.xml")
    (tmp_path / "outer.xml").write_text('<mujoco><include file="pipe.xml"/></mujoco>')
    (tmp_path / "robot.xml").write_text(ROBOT.format('<include file="outer.xml"/>', ""))
    with pytest.raises(MotionError, match="not compiled after 4 s, does it include a pipe"):
        load_body(tmp_path / "robot.xml")


def test_the_child_compiles_what_this_process_would(tmp_path, monkeypatch):
    from morphloop.sim.bodies.mjcf_compile import compile_robot

    body = '<body name="{0}"><freejoint/><geom size=".1"/><body name="{0}b"><joint/><geom size=".2"/></body></body>'
    plain = f"<mujoco><worldbody>{body.format('a')}</worldbody></mujoco>"
    (tmp_path / "plain.xml").write_text(plain)
    (tmp_path / "sized.xml").write_text(plain.replace("<worldbody>", '<size nuser_geom="1"/><worldbody>'))
    here, child = compile_robot(tmp_path / "plain.xml"), compile_robot(tmp_path / "sized.xml")
    assert (here.nq, here.nuser_geom, child.nq, child.nuser_geom) == (8, 0, 8, 1)
    np.testing.assert_array_equal(here.geom_size, child.geom_size)
