"""A stage runs once, is finished or absent, and its ledger survives a torn line."""

import json
from contextlib import suppress

import pytest

from morphloop.base import MotionError
from morphloop.refinement_loop import run_stage, stages
from morphloop.refinement_loop.ledger import append_event, read_ledger
from morphloop.refinement_loop.stages import changed_outputs, hash_json, read_finished


class Work:
    """Counts its calls and writes what it was told; dies first where asked."""

    def __init__(self, text="x", dies=False):
        self.text, self.dies, self.calls = text, dies, 0

    def __call__(self, folder):
        self.calls += 1
        (folder / "first.txt").write_text("kept")
        if self.dies:
            raise KeyboardInterrupt
        (folder / "out.txt").write_text(self.text)
        return {"n": self.calls}


def stage(tmp_path, work, inputs=None, config=None):
    return run_stage(tmp_path / "round_00", "select", inputs or {"a": "1"}, config or {"b": 2}, 3, work)


def test_a_finished_stage_is_never_run_again(tmp_path):
    work = Work()
    first, second = stage(tmp_path, work), stage(tmp_path, work)
    assert work.calls == 1
    assert (first.reused, second.reused) == (False, True)
    assert first.hash == second.hash
    assert first.folder == tmp_path / "round_00" / "select"
    assert set(first.manifest["outputs"]) == {"first.txt", "out.txt"}
    assert first.manifest["inputs"] == {"a": "1"}
    assert first.manifest["versions"]["mujoco"]


def test_another_input_or_config_runs_anew_and_keeps_what_was_there(tmp_path):
    stage(tmp_path, Work("old"))
    changed = stage(tmp_path, Work("new"), config={"b": 3})
    assert (changed.folder / "out.txt").read_text() == "new"
    assert (tmp_path / "round_00" / "superseded" / "select_00" / "out.txt").read_text() == "old"
    assert not stage(tmp_path, Work(), inputs={"a": "2"}, config={"b": 3}).reused


def test_a_killed_stage_leaves_no_folder_and_goes_on_from_its_partial(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        stage(tmp_path, Work(dies=True))
    assert not (tmp_path / "round_00" / "select").exists()
    partial = tmp_path / "round_00" / ".select.partial"
    assert (partial / "first.txt").read_text() == "kept"
    (partial / ".torn.npz.abc.tmp").write_text("half")
    seen = []
    done = stage(tmp_path, lambda folder: seen.extend(sorted(p.name for p in folder.iterdir())))
    assert seen == [".key", "first.txt"]
    assert not partial.exists()
    assert sorted(p.name for p in done.folder.iterdir()) == ["first.txt", "manifest.json", "timing.jsonl"]


def test_a_partial_of_another_key_is_not_built_upon(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        stage(tmp_path, Work(dies=True))
    done = stage(tmp_path, lambda folder: (folder / "out.txt").write_text("x") and None, config={"b": 9})
    assert set(done.manifest["outputs"]) == {"out.txt"}


def test_the_hash_covers_outputs_and_not_the_clock(tmp_path):
    def timed(folder):
        (folder / "out.txt").write_text("x")
        (folder / "timing.jsonl").write_text(str(tmp_path))

    one, two = stage(tmp_path / "a", timed), stage(tmp_path / "b", timed)
    assert one.hash == two.hash
    assert one.hash != stage(tmp_path / "c", Work("y")).hash


def test_a_damaged_manifest_is_named(tmp_path):
    done = stage(tmp_path, Work())
    (done.folder / "manifest.json").write_text("{")
    with pytest.raises(MotionError, match=r"manifest\.json: not a stage's manifest"):
        read_finished(done.folder)


def test_the_ledger_keeps_order_and_survives_a_torn_line(tmp_path):
    append_event(tmp_path, "one", value=1)
    with (tmp_path / "ledger.jsonl").open("a") as stream:
        stream.write('{"event": "to')
    append_event(tmp_path, "two")
    assert [row["event"] for row in read_ledger(tmp_path)] == ["one", "two"]
    json.loads((tmp_path / "ledger.jsonl").read_text().splitlines()[-1])


def test_hash_of_json_ignores_the_order_of_keys():
    assert hash_json({"a": 1, "b": [2]}) == hash_json({"b": [2], "a": 1}) != hash_json({"a": 1, "b": [3]})


@pytest.mark.parametrize("deed", ["replaced", "removed", "added", "linked"])
def test_a_finished_stage_that_somebody_changed_is_not_used_silently(tmp_path, deed):
    done = stage(tmp_path, Work())
    assert changed_outputs(done.folder, done.manifest) == []
    out = done.folder / "out.txt"
    if deed == "replaced":
        out.write_text("forged")
    elif deed == "removed":
        out.unlink()
    elif deed == "added":
        out = done.folder / "clips" / "more.npz"
        out.parent.mkdir()
        out.write_text("more")
    else:  # the same bytes, but somewhere else
        out.rename(tmp_path / "elsewhere.txt")
        out.symlink_to(tmp_path / "elsewhere.txt")
    name = str(out.relative_to(done.folder))
    assert changed_outputs(done.folder, done.manifest) == [name]
    with pytest.raises(MotionError, match=f"{name}.*not as the stage 'select' left it.*remove .*select to run") as told:
        stage(tmp_path, Work())
    assert "\n" not in str(told.value)


def test_the_timing_of_a_finished_stage_is_no_output(tmp_path):
    done = stage(tmp_path, Work())
    (done.folder / "timing.jsonl").write_text("{}\n")
    assert stage(tmp_path, Work()).reused


@pytest.mark.parametrize(
    "junk", ["[]", '{"key": 1, "outputs": {}, "notes": {}}', '{"key": "a", "outputs": []}', "\xff"]
)
def test_a_forged_manifest_is_named(tmp_path, junk):
    done = stage(tmp_path, Work())
    (done.folder / "manifest.json").write_bytes(junk.encode("latin-1"))
    with pytest.raises(MotionError, match=r"manifest\.json: not a stage's manifest"):
        stage(tmp_path, Work())


def events(tmp_path):
    return [row["event"] for row in read_ledger(tmp_path)]


def dying(module, name, at):
    """A stand-in that does what was asked and dies after the call number `at`, or before it where `at` is negative."""
    real, calls = getattr(module, name), []

    def die(*args, **kwargs):
        calls.append(1)
        if len(calls) == -at:
            raise KeyboardInterrupt
        done = real(*args, **kwargs)
        if len(calls) == at:
            raise KeyboardInterrupt
        return done

    return die


@pytest.mark.parametrize("place", ["append_event", "write_json", "append_timing", "hash_outputs", "_open_partial"])
def test_killed_at_any_step_of_a_stage_it_is_finished_once_and_the_ledger_has_no_hole(tmp_path, monkeypatch, place):
    killed = 0
    for at in (1, -1, 2, -2, 3, -3):
        home, work = tmp_path / f"{at}", Work()
        with monkeypatch.context() as patch, suppress(KeyboardInterrupt):
            patch.setattr(stages, place, dying(stages, place, at))
            stage(home, work)
            continue  # it has no so many steps of that kind
        killed += 1
        done = stage(home, work)
        assert {p.name for p in done.folder.iterdir()} == {"first.txt", "manifest.json", "out.txt", "timing.jsonl"}
        assert [path.name for path in (home / "round_00").iterdir()] == ["select"]
        assert (events(home).count("finished"), events(home)[-1]) == (1, "finished")
        assert stage(home, work).reused
        assert events(home).count("finished") == 1
    assert killed >= 2


@pytest.mark.parametrize("at", [-1, 1])
def test_killed_while_a_stage_is_superseded_the_ledger_tells_it_once(tmp_path, monkeypatch, at):
    stage(tmp_path, Work("old"))
    with monkeypatch.context() as patch:
        patch.setattr(stages, "append_event", dying(stages, "append_event", at))
        with pytest.raises(KeyboardInterrupt):
            stage(tmp_path, Work("new"), config={"b": 3})
    stage(tmp_path, Work("new"), config={"b": 3})
    assert events(tmp_path).count("superseded") == 1
    (why,) = [row["why"] for row in read_ledger(tmp_path) if row["event"] == "superseded"]
    assert why in ("b = 2, asked for 3", None)
    stage(tmp_path, Work("old"))  # back to the first config: made anew, and told
    assert events(tmp_path).count("superseded") == 2
    assert events(tmp_path).count("finished") == 3


@pytest.mark.parametrize("place", ["round_00", "round_00/select", "round_00/.select.partial", "round_00/superseded"])
def test_nothing_is_written_through_a_link(tmp_path, place):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept.txt").write_text("kept")
    link = tmp_path / "run" / place
    link.parent.mkdir(parents=True)
    link.symlink_to(outside)
    with pytest.raises(MotionError, match=f"{link}: is a link, expected a folder of this run"):
        stage(tmp_path / "run", Work())
    assert [path.name for path in outside.iterdir()] == ["kept.txt"]


def test_a_link_inside_of_what_a_kill_left_is_not_written_through(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        stage(tmp_path, Work(dies=True))
    partial = tmp_path / "round_00" / ".select.partial"
    (tmp_path / "outside").mkdir()
    (partial / "clips").symlink_to(tmp_path / "outside")
    with pytest.raises(MotionError, match=r"clips: is a link"):
        stage(tmp_path, Work())


def test_a_ledger_of_junk_is_gone_on_with(tmp_path):
    (tmp_path / "ledger.jsonl").write_bytes(b"\xff\xfe\n[1]\n3\n" + b"[" * 100_000 + b"\n")
    stage(tmp_path, Work())
    assert events(tmp_path) == ["started", "finished"]
