"""A configuration that somebody edited by hand: the types of all fields hold, or one line names the field."""

import json
import random
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import pytest

from morphloop.base import MotionError
from morphloop.base.typed import from_dict
from morphloop.refinement_loop import LoopConfig, read_config
from morphloop.refinement_loop.config import write_config


@dataclass(frozen=True)
class Inner:
    push: float = 0.1
    speed: tuple[float, float] = (1.0, 1.0)


@dataclass(frozen=True)
class Outer:
    count: int
    name: str | None = None
    kind: Literal["a", "b"] = "a"
    on: bool = False
    steps: tuple[int, ...] = ()
    where: Path = Path("x")
    notes: dict[str, float] = field(default_factory=dict)
    inner: Inner = field(default_factory=Inner)
    least: int | float | None = None


def test_what_was_written_is_read_back():
    made = Outer(3, "n", "b", True, (1, 2), Path("a/b"), {"x": 1.0}, Inner(2.0, (0.5, 2.0)), 7)
    values = json.loads(json.dumps(asdict(made), default=str))
    assert from_dict(Outer, values, "file") == made
    assert from_dict(Outer, {"count": 1, "inner": {"push": 2}}, "file") == Outer(1, inner=Inner(2.0))


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ([], "file: it is a list, expected names and values"),
        ({}, "file: count is missing, expected a whole number"),
        ({"count": 1.5}, "file: count is 1.5, expected a whole number"),
        ({"count": True}, "file: count is True, expected a whole number"),
        ({"count": 10**5000}, "file: count is a number out of reach, expected a whole number"),
        ({"count": 1, "colour": 2}, "file: unknown colour, expected some of count, inner, kind"),
        ({"count": 1, "name": 3}, "file: name is 3, expected text"),
        ({"count": 1, "kind": "c"}, "file: kind is 'c', expected 'a' or 'b'"),
        ({"count": 1, "on": 1}, "file: on is 1, expected true or false"),
        ({"count": 1, "steps": [1, "x"]}, r"file: steps[1] is 'x', expected a whole number"),
        ({"count": 1, "steps": 3}, "file: steps is 3, expected a list"),
        ({"count": 1, "where": 3}, "file: where is 3, expected a path"),
        ({"count": 1, "notes": {"x": float("nan")}}, "file: notes.x is nan, expected a number"),
        ({"count": 1, "inner": 3}, "file: inner is 3, expected names and values"),
        ({"count": 1, "inner": {"push": float("inf")}}, "file: inner.push is inf, expected a number"),
        ({"count": 1, "inner": {"speed": [1.0]}}, "file: inner.speed is a list, expected 2 values"),
        ({"count": 1, "inner": {"speed": [1.0, None]}}, r"file: inner.speed[1] is None, expected a number"),
        ({"count": 1, "least": "x"}, "file: least is 'x', expected a whole number or a number or nothing"),
    ],
)
def test_a_wrong_value_is_named(values, told):
    with pytest.raises(MotionError) as caught:
        from_dict(Outer, values, "file")
    assert str(caught.value).startswith(told)
    assert len(str(caught.value)) < 400


JUNK: list[Any] = [None, True, -1, 1.5, 1e308, float("nan"), "", "x", [], [1, "a"], {}, {"a": 1}, 10**400, [[[[]]]]]


def test_every_field_of_a_runs_config_bears_junk(tmp_path):
    """Each leaf and each branch of a whole config, one after the other: one line that names the file, or a config."""
    good = LoopConfig(generator="g", prompts=("a person walks.",), policy="p")
    write_config(tmp_path, good)
    text = (tmp_path / "config.json").read_text()
    refused, draw = 0, random.Random(0)
    places = list(paths_of(json.loads(text)))
    for place in places:
        values = json.loads(text)
        for junk in draw.sample(JUNK, 4):
            put(values, place, junk)
            (tmp_path / "config.json").write_text(json.dumps(values))
            told = complaint(tmp_path)
            refused += told is not None
            if told is not None:
                assert told.startswith(f"{tmp_path}/config.json: ")
                assert "\n" not in told
    assert refused > len(places)


def complaint(run):
    """What is said of a run's config, None if it is read."""
    try:
        config = read_config(run)
    except MotionError as error:
        return str(error)
    assert from_dict(LoopConfig, json.loads(json.dumps(asdict(config))), "again") == config
    return None


def paths_of(tree, above=()):
    for name, value in tree.items():
        yield (*above, name)
        if isinstance(value, dict):
            yield from paths_of(value, (*above, name))


def put(tree, place, value):
    for name in place[:-1]:
        if not isinstance(tree.get(name), dict):
            return
        tree = tree[name]
    tree[place[-1]] = value


@pytest.mark.parametrize("text", ["", "[", "[]", "null", "3", "[" * 100_000, "\x00", '{"rounds": NaN}', '"text"'])
def test_a_config_that_is_none_is_refused_in_one_line(tmp_path, text):
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(MotionError, match=r"config\.json: "):
        read_config(tmp_path)
    (tmp_path / "config.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(MotionError, match=r"config\.json: not a text file in UTF-8"):
        read_config(tmp_path)


def test_a_config_of_before_is_read(tmp_path):
    """One written when the update's budget was seconds, a limit now, and one when two options of it could be told."""
    values = asdict(LoopConfig(generator="g", prompts=("a",))) | {"imitate_budget_s": 120.0}
    for name in ("imitate", "threads", "guard_samples"):
        del values[name]
    values["finetune"]["minutes"] = 5.0
    (tmp_path / "config.json").write_text(json.dumps(values))
    expected = LoopConfig(generator="g", prompts=("a",), imitate_budget_s=120.0)
    expected = replace(expected, finetune=replace(expected.finetune, minutes=5.0))
    assert read_config(tmp_path) == expected
    (tmp_path / "config.json").write_text(json.dumps(values | {"imitate_updates": 3, "imitate_demonstrations": 5}))
    taught = replace(expected.imitate, demonstrations=5, distil=replace(expected.imitate.distil, updates=3))
    assert read_config(tmp_path) == replace(expected, imitate=taught)


def test_a_config_with_options_that_are_gone_is_read_where_they_said_nothing(tmp_path):
    config = LoopConfig(generator="g", prompts=("a person walks",))
    write_config(tmp_path, config)
    path = tmp_path / "config.json"
    values = json.loads(path.read_text())
    values["finetune"]["kl_weight"] = 0.0
    values["projection"] |= {"refiner": "ilqr", "guided": True, "seed": 0, "sampling": {"samples": 32}}
    path.write_text(json.dumps(values))
    assert read_config(tmp_path) == config
    for part, name, value in (("finetune", "kl_weight", 0.3), ("projection", "refiner", "sampling")):
        path.write_text(json.dumps(values | {part: values[part] | {name: value}}))
        with pytest.raises(MotionError, match=rf"unknown {part}\.(guided|{name})"):
            read_config(tmp_path)
