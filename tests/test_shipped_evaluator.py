"""The evaluator that ships: that it can be wrong-footed by nothing it is meant to see through, on motion new to it."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib import resources
from pathlib import Path

import numpy as np
import pytest

from morphloop.base import MotionError
from morphloop.cli.evaluate import Evaluate
from morphloop.metrics.text_motion.changes import CHANGES, wrong_changes
from morphloop.metrics.text_motion.evaluator import TextMotionEvaluator, shipped_evaluator
from morphloop.metrics.text_motion.motion_input import motion_joints
from morphloop.metrics.text_motion.scoring import EmbeddedSet, embed_set, score_set
from morphloop.metrics.text_motion.training import spoilt
from morphloop.motion import Clip, make_corpus, save_clip
from morphloop.motion.corpus.described import make_described

FOLDER = Path(str(resources.files("morphloop.assets"))) / "evaluator"


@pytest.fixture(scope="module")
def judge() -> TextMotionEvaluator:
    return shipped_evaluator()


@pytest.fixture(scope="module")
def clips() -> list[Clip]:
    """Clips of the split that trained nothing, of a seed that no figure was chosen on."""
    return make_corpus(96, 77, split="test")


@pytest.fixture(scope="module")
def found(judge: TextMotionEvaluator, clips: list[Clip]) -> EmbeddedSet:
    return embed_set(judge, clips)


def test_it_is_small_and_its_card_tells_its_hash(judge: TextMotionEvaluator) -> None:
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 4e6
    assert judge.hash in (FOLDER / "MODEL_CARD.md").read_text()


def test_captions_find_their_motion_and_shuffled_ones_only_by_chance(found: EmbeddedSet) -> None:
    right = score_set(found)
    order = np.random.default_rng(0).permutation(len(found.motions))
    wrong = score_set(replace(found, motions=found.motions[order]))
    assert right["r_precision_1"].value is not None
    assert right["r_precision_1"].value > 0.8
    assert right["r_precision_3"].value is not None
    assert right["r_precision_3"].value > 0.95
    assert wrong["r_precision_3"].value == pytest.approx(3 / 32, abs=0.06)


def preferred(judge: TextMotionEvaluator, clips: list[Clip], found: EmbeddedSet, change: str) -> list[bool]:
    """Of each caption that a change makes wrong, whether it is nearer to its own motion than to the changed one."""
    joints = [motion_joints(clip) for clip in clips]
    wrong = judge.embed_joints([CHANGES[change](one) for one in joints])
    return [
        bool(caption @ found.motions[number] > caption @ wrong[number])
        for number, clip in enumerate(clips)
        for text, caption in zip(clip.texts, found.captions[number], strict=True)
        if change in wrong_changes(text, joints[number])
    ]


@pytest.mark.parametrize("change", list(CHANGES))
def test_captions_prefer_their_motion_to_what_is_wrong_for_them(
    judge: TextMotionEvaluator, clips: list[Clip], found: EmbeddedSet, change: str
) -> None:
    wins = preferred(judge, clips, found, change)
    assert len(wins) > 20
    assert np.mean(wins) >= 0.8


def test_captions_that_name_an_order_prefer_it_to_the_reversed_one(judge: TextMotionEvaluator) -> None:
    """One thing after another, as the plain corpus never has it."""
    clips = [clip for clip in make_described(240, 78, "test") if len(clip.provenance.notes["script"]) > 1]
    wins = preferred(judge, clips, embed_set(judge, clips), "reversed")
    assert len(wins) > 40
    assert np.mean(wins) >= 0.8


def test_slide_float_and_jitter_are_not_its_business(
    judge: TextMotionEvaluator, clips: list[Clip], found: EmbeddedSet
) -> None:
    rng = np.random.default_rng(0)
    spoiled = replace(found, motions=judge.embed_joints([spoilt(motion_joints(clip), rng, True) for clip in clips]))
    clean, faulty = score_set(found)["r_precision_3"].value, score_set(spoiled)["r_precision_3"].value
    assert clean is not None
    assert faulty is not None
    assert faulty > clean - 0.05


def test_evaluate_scores_against_captions_and_names_who_judged(
    judge: TextMotionEvaluator, clips: list[Clip], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for folder, count in (("clips", 6), ("real", 4)):
        (tmp_path / folder).mkdir()
        for number, clip in enumerate(clips[:count]):
            save_clip(tmp_path / folder / f"{number}.npz", clip)
    command = Evaluate(
        paths=(tmp_path / "clips",), text=True, real=tmp_path / "real", json=tmp_path / "out.json", wrench=False
    )
    assert command.run() == 0
    told = json.loads((tmp_path / "out.json").read_text())["text"]
    assert told["evaluator"]["hash"] == judge.hash
    assert told["evaluator"]["kind"] == "morphloop"
    assert told["clips"] == {"clips": 6, "real": 4}
    assert told["scores"]["clips"]["mm_dist"]["value"] > 0
    assert told["scores"]["clips"]["mm_dist"]["repeats"] == 20
    assert told["scores"]["clips"]["fid"]["value"] is None
    assert "expected 192 or more for 48 dimensions" in told["scores"]["clips"]["fid"]["why"]
    said = capsys.readouterr().out
    assert judge.hash in said
    assert "mm_dist" in said


def test_an_evaluator_without_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MotionError, match="--evaluator and --real are for --text"):
        Evaluate(paths=(tmp_path,), real=tmp_path).run()
