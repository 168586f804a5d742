"""The text-motion evaluator: what it sees, what it is trained against, and a small one that is trained in seconds."""

from __future__ import annotations

import hashlib
import json
import weakref
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from morphloop.base import MotionError
from morphloop.base.budget import Budget
from morphloop.language import TextStates, load_text_encoder
from morphloop.metrics.text_motion import training
from morphloop.metrics.text_motion.captions import Meaning, meaning, names, other_side, rests
from morphloop.metrics.text_motion.changes import CHANGES, mirrored, reverse, twice_as_fast, wrong_changes
from morphloop.metrics.text_motion.config import EvaluatorConfig
from morphloop.metrics.text_motion.evaluator import TextMotionEvaluator, load_evaluator, save_evaluator
from morphloop.metrics.text_motion.model import TextMotionModel
from morphloop.metrics.text_motion.motion_input import SIZE, motion_features, motion_joints, travel
from morphloop.metrics.text_motion.padding import padded
from morphloop.metrics.text_motion.scoring import embed_set, score_set
from morphloop.metrics.text_motion.training import (
    contrast,
    draw_batch,
    embed_by_length,
    kept_on_disk,
    make_example,
    mean_and_std,
    train_evaluator,
)
from morphloop.motion import DEFAULT_SKELETON, HUMANML3D_JOINTS, Clip, JointTrack, make_corpus, make_described
from morphloop.motion.rotations import quat_from_heading, quat_from_rotvec, quat_rotate

TINY = EvaluatorConfig(embedding=8, width=32, heads=2, motion_layers=1, dropout=0.0)


class WordEncoder:
    """A text encoder whose states are a fixed random vector of each word."""

    name, width, hash = "words", 24, "words"

    def encode(self, texts: Sequence[str]) -> TextStates:
        words = [text.lower().strip(".").split() for text in texts]
        if not all(words):
            raise MotionError("prompt is empty, expected a description of a motion")
        mask = torch.zeros(len(texts), max(map(len, words)), dtype=torch.bool)
        states = torch.zeros(*mask.shape, self.width)
        for row, said in enumerate(words):
            mask[row, : len(said)] = True
            for place, word in enumerate(said):
                seed = int(hashlib.sha256(word.encode()).hexdigest()[:8], 16)
                states[row, place] = torch.from_numpy(np.random.default_rng(seed).standard_normal(self.width))
        return TextStates(states, mask)


def glide(way: str, pace: str, side: str, rng: np.random.Generator, frames: int = 45) -> Clip:
    """Somebody who glides forward or back with one arm raised, as plain as a motion can be."""
    speed = {"slowly": 0.5, "quickly": 1.4}[pace] * rng.uniform(0.9, 1.1) * (1 if way == "forward" else -1)
    root = np.zeros((frames, 3))
    root[:, 0], root[:, 2] = speed * np.arange(frames) / 30.0, -DEFAULT_SKELETON.rest_positions[:, 2].min() + 0.02
    rotations = np.zeros((frames, DEFAULT_SKELETON.num_joints, 4))
    rotations[..., 0] = 1.0
    lift = rng.uniform(1.0, 1.4) * np.sin(np.pi * np.arange(frames) / (frames - 1))
    turn = np.zeros((frames, 3))
    turn[:, 0] = lift if side == "left" else -lift
    rotations[:, DEFAULT_SKELETON.index(f"{side}_shoulder")] = quat_from_rotvec(turn)
    text = f"a person walks {way} {pace} raising the {side} arm"
    return Clip(30.0, DEFAULT_SKELETON, root, rotations, (text,), f"{way}_{pace}_{side}")


def one_arm_first(first: str, rng: np.random.Generator, frames: int = 121) -> Clip:
    """Somebody who stands and raises one arm, and later the other: backwards it is the other first."""
    root = np.zeros((frames, 3))
    root[:, 2] = -DEFAULT_SKELETON.rest_positions[:, 2].min() + 0.02
    rotations = np.zeros((frames, DEFAULT_SKELETON.num_joints, 4))
    rotations[..., 0] = 1.0
    share = np.arange(frames) / (frames - 1)
    for side, when in zip(("left", "right"), (0.3, 0.7) if first == "left" else (0.7, 0.3), strict=True):
        turn = np.zeros((frames, 3))
        turn[:, 0] = np.cos(np.clip((share - when) / 0.05, -1.0, 1.0) * np.pi / 2) ** 2 * rng.uniform(1.0, 1.4)
        turn *= 1.0 if side == "left" else -1.0
        rotations[:, DEFAULT_SKELETON.index(f"{side}_shoulder")] = quat_from_rotvec(turn)
    return Clip(30.0, DEFAULT_SKELETON, root, rotations, (f"a person raises the {first} arm first",), f"{first}_first")


def arms_in_turn(count: int, seed: int) -> list[Clip]:
    """`count` of either order."""
    rng = np.random.default_rng(seed)
    return [one_arm_first(first, rng) for _ in range(count) for first in ("left", "right")]


def glides(count: int, seed: int) -> list[Clip]:
    """`count` of each of the eight."""
    rng = np.random.default_rng(seed)
    kinds = [(w, p, s) for w in ("forward", "backward") for p in ("slowly", "quickly") for s in ("left", "right")]
    return [glide(*kind, rng) for _ in range(count) for kind in kinds]


@pytest.fixture(scope="module")
def corpus() -> list[Clip]:
    """Two rounds of the corpus."""
    return make_corpus(48, 3)


@pytest.mark.parametrize(
    ("caption", "named"),
    [
        ("a person waves with their left hand.", {"side"}),
        ("a person claps with left and right hand", set()),
        ("a person walks backwards slowly.", {"direction", "speed"}),
        ("someone moves forward at a normal walking pace.", {"direction", "speed"}),
        ("a man turns to the left", {"side", "direction"}),
        ("a person walks, then bows", {"order"}),
        ("a person bends forward at the waist and stands up straight again", set()),
        ("a person raises both arms in front of them", set()),
        ("a person jumps forward", {"direction"}),
        ("a person punches forward with the right arm while walking", {"side"}),
    ],
)
def test_what_a_caption_names(caption: str, named: set[str]) -> None:
    assert names(caption) == named


def test_the_caption_of_a_mirrored_motion_changes_sides_and_nothing_else() -> None:
    assert other_side("Left foot, then the right one; a leftover") == "Right foot, then the left one; a leftover"


def test_a_caption_of_the_corpus_fits_every_clip_that_has_what_it_names(corpus: list[Clip]) -> None:
    """A walk that is only called a walk fits slow and fast ones; one that is called slow does not fit a fast one."""
    clips = [clip for clip in corpus if clip.provenance.notes["action"] == "walk"]
    said = [meaning(clip) for clip in clips]
    for clip, told in zip(clips, said, strict=True):
        for place, text in enumerate(clip.texts):
            for other, theirs in zip(clips, said, strict=True):
                wanted, has = clip.provenance.notes["parameters"], other.provenance.notes["parameters"]
                fits = wanted["pace"] == has["pace"] or not any(w in text for w in ("slow", "fast", "quick", "normal"))
                fits &= wanted["curve"] == has["curve"] or not any(w in text for w in ("straight", "curv"))
                assert told.fits(place, theirs) == fits, (text, other.texts)


def test_captions_of_described_clips_fit_what_has_their_facts_in_their_order() -> None:
    def clip(script: list[list[dict[str, object]]], *facts: str) -> Meaning:
        notes = {"script": script, "facts": [list(facts)]}
        return meaning(replace(glides(1, 0)[0], texts=("a caption",)).with_provenance(notes=notes))

    walk = {"action": "walk", "way": "forward", "pace": "slow", "curve": "straight"}
    wave, other = ({"action": "wave", "side": side, "count": 2, "tempo": "normal"} for side in ("left", "right"))
    slow, vague = clip([[walk]], "walk forward", "walk slowly"), clip([[walk | {"pace": "fast"}]], "walk forward")
    assert slow.fits(0, slow)
    assert vague.fits(0, slow), "a walk of no pace that is named"
    assert not slow.fits(0, vague)
    left, right = clip([[wave]], "wave left"), clip([[other]], "wave")
    assert right.fits(0, left), "a wave of no side that is named"
    assert not left.fits(0, right)
    then = clip([[walk], [wave]], "walk forward, then wave left and wave twice")
    assert then.fits(0, then)
    for another in (clip([[wave], [walk]], "wave"), clip([[walk, wave]], "wave"), vague, left):
        assert not then.fits(0, another)
        assert not another.fits(0, then), "a caption tells of the whole clip"
    for made in make_described(12, 5):
        own = meaning(made)
        assert all(own.fits(place, own) for place in range(len(made.texts)))


def test_captions_of_elsewhere_fit_where_they_are_the_same_but_for_the_subject() -> None:
    a, b, c = (
        meaning(replace(glides(1, 0)[0], texts=texts))
        for texts in (("A man bows.", "a deep bow"), ("someone bows",), ("a person bows twice",))
    )
    assert a.fits(0, b)
    assert b.fits(0, a)
    assert not a.fits(1, b)
    assert not a.fits(0, c)


def test_what_the_evaluator_sees_does_not_depend_on_place_heading_size_or_ground(
    corpus: list[Clip],
) -> None:
    clip = next(c for c in corpus if c.provenance.notes["action"] == "walk_wave")
    joints = motion_joints(clip)
    turn = quat_from_heading(np.full(joints.shape[:2], 2.0))
    for changed in (
        joints + np.array([3.0, -2.0, 0.0]),
        joints + np.array([0.0, 0.0, 0.08]),
        quat_rotate(turn, joints),
    ):
        assert np.allclose(motion_features(changed), motion_features(joints), atol=2e-4)
    tall = JointTrack(20.0, HUMANML3D_JOINTS, 1.2 * joints)
    assert np.allclose(motion_joints(tall), joints, atol=1e-6)


def test_clips_and_bare_joints_are_seen_alike_at_any_frame_rate(corpus: list[Clip]) -> None:
    clip = corpus[0]
    track = JointTrack(clip.fps, clip.skeleton.names, clip.positions)
    assert np.allclose(motion_joints(track), motion_joints(clip), atol=2e-3)
    assert np.allclose(motion_joints(clip.resampled(60.0)), motion_joints(clip), atol=5e-3)


def test_changes_are_what_they_are_called() -> None:
    (left,) = glides(1, 0)[:1]
    joints = motion_joints(left)
    hand = HUMANML3D_JOINTS.index("left_wrist")
    other = HUMANML3D_JOINTS.index("right_wrist")
    assert np.allclose(mirrored(joints)[:, other, 2], joints[:, hand, 2])
    assert np.allclose(mirrored(mirrored(joints)), joints)
    assert travel(reverse(joints))[0] == pytest.approx(-travel(joints)[0])
    fast = twice_as_fast(joints)
    assert len(fast) == -(-len(joints) // 2)
    assert travel(fast)[0] == pytest.approx(travel(joints)[0], rel=0.05)
    assert travel(CHANGES["frozen"](joints)) == (0.0, 0.0, 0.0)


def test_a_change_counts_as_wrong_only_where_the_caption_names_it_and_the_motion_shows_it() -> None:
    joints = motion_joints(glides(1, 0)[0])
    still = np.repeat(joints[:1], len(joints), axis=0)
    assert set(wrong_changes("a person walks forward", joints)) == {"reversed", "frozen"}
    assert set(wrong_changes("a person walks forward", still)) == {"frozen"}
    assert set(wrong_changes("a person walks slowly", joints)) == {"twice as fast", "frozen"}
    assert set(wrong_changes("a person raises the left arm", joints)) == {"mirrored", "frozen"}
    assert wrong_changes("a person stands still", joints) == {}
    assert rests("a person is standing and shifting weight")


@pytest.mark.parametrize("elapsed", [False, True])
def test_a_motion_is_embedded_the_same_alone_and_beside_longer_ones(elapsed: bool) -> None:
    torch.manual_seed(0)
    model = TextMotionModel(replace(TINY, elapsed=elapsed), 24).eval()
    features = [np.random.default_rng(n).standard_normal((n, SIZE)) for n in (1, 2, 7, 60, 400)]
    together = model.embed_motions(*padded(features))
    for one, row in zip(features, together, strict=True):
        assert torch.allclose(model.embed_motions(*padded([one]))[0], row, atol=1e-5)
    states = WordEncoder().encode(["a person walks", "a person walks and then sits down on a chair"])
    both = model.embed_texts(states.states, states.mask)
    assert torch.allclose(model.embed_texts(states.states[:1, :3], states.mask[:1, :3])[0], both[0], atol=1e-5)
    assert torch.allclose(both.norm(dim=1), torch.ones(2))


def test_motions_of_like_length_go_together_and_come_back_in_their_order() -> None:
    torch.manual_seed(0)
    model = TextMotionModel(TINY, 24).eval()
    features = [np.random.default_rng(n).standard_normal((n, SIZE)) for n in (50, 3, 120, 7, 8)]
    assert torch.allclose(embed_by_length(model, features), model.embed_motions(*padded(features)), atol=1e-5)


def test_the_order_of_frames_and_words_counts() -> None:
    torch.manual_seed(0)
    model = TextMotionModel(TINY, 24).eval()
    features = np.random.default_rng(0).standard_normal((40, SIZE))
    forth, back = model.embed_motions(*padded([features, features[::-1]]))
    assert not torch.allclose(forth, back, atol=1e-2)


def test_pairs_that_fit_are_no_counter_example() -> None:
    """Two motions of one caption: each is right for the other, so neither pushes the other away."""
    texts = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    fits = torch.tensor([[True, True, False], [True, True, False], [False, False, True]])
    nothing = torch.zeros(0, 2), torch.zeros(0, dtype=torch.long)
    to_motion, to_text = contrast(20.0 * texts, texts, fits, *nothing)
    assert max(float(to_motion), float(to_text)) < 1e-6
    assert min(map(float, contrast(20.0 * texts, texts, torch.eye(3, dtype=torch.bool), *nothing))) > 0.4


def test_a_wrong_motion_counts_against_its_own_caption_alone() -> None:
    texts = 20.0 * torch.eye(2)
    clean = contrast(texts, torch.eye(2), torch.eye(2, dtype=torch.bool), torch.zeros(0, 2), torch.zeros(0).long())
    wrong = contrast(texts, torch.eye(2), torch.eye(2, dtype=torch.bool), torch.eye(2)[:1], torch.tensor([0]))
    other = contrast(texts, torch.eye(2), torch.eye(2, dtype=torch.bool), torch.eye(2)[:1], torch.tensor([1]))
    assert float(wrong[0]) == pytest.approx(np.log(2.0) / 2, abs=1e-3)
    assert float(other[0]) == pytest.approx(float(clean[0]), abs=1e-6)
    assert float(wrong[1]) == pytest.approx(float(clean[1]))


def test_a_batch_shows_each_caption_what_is_wrong_for_it() -> None:
    examples = [make_example(clip, 0) for clip in glides(2, 1)]
    batch = draw_batch(examples, 12, np.random.default_rng(0))
    assert len(batch.texts) == len(batch.seen) == len(batch.of) == 12
    assert batch.fits.diagonal().all()
    assert (batch.fits == np.array([[a == b for b in batch.texts] for a in batch.texts])).all()


def test_a_caption_of_an_order_is_shown_its_motion_reversed_in_every_batch() -> None:
    examples = [make_example(clip, 0) for clip in (*arms_in_turn(2, 1), *glides(1, 1))]
    backwards = [example.changed["reversed"] for example in examples[:4]]
    for seed in range(4):
        batch = draw_batch(examples, 12, np.random.default_rng(seed), reversed_order=True)
        assert all(any(one is wrong for wrong in batch.changed) for one in backwards)
        assert max(batch.of.count(number) for number, text in enumerate(batch.texts) if "first" not in text) == 1


class OfMoments(TextMotionModel):
    """Without attention: what it knows of a motion is which moments there are, of 0.6 s each."""

    def __init__(self, config: EvaluatorConfig, text_width: int) -> None:
        super().__init__(config, text_width)
        self.motion_layers = torch.nn.ModuleList()


def test_who_sees_what_has_elapsed_tells_a_motion_from_its_reverse(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both have the same moments; which of them is early is seen at each of them, or else by attention alone."""
    monkeypatch.setattr(training, "TextMotionModel", OfMoments)
    budget = Budget(steps=60, minutes=None, batch=16, learning_rate=3e-3, warmup=10)
    clips, ahead = arms_in_turn(12, 1), []
    for elapsed in (False, True):
        config = replace(TINY, elapsed=elapsed)
        judge = TextMotionEvaluator(train_evaluator(arms_in_turn(12, 0), WordEncoder(), config, budget), WordEncoder())
        own, seen = judge.embed_texts([clip.texts[0] for clip in clips]), judge.embed_motions(clips)
        wrong = judge.embed_joints([reverse(motion_joints(clip)) for clip in clips])
        ahead.append((own * (seen - wrong)).sum(axis=1))
    without, sees = ahead
    assert np.abs(without).max() < 1e-3
    assert sees.min() > 0.2


def test_an_evaluator_of_before_is_written_and_known_as_it_was(tmp_path: Path) -> None:
    sizes = {"embedding": 8, "width": 32, "heads": 2, "motion_layers": 1, "text_layers": 1, "dropout": 0.0}
    assert TINY.written() == sizes
    for config in (TINY, replace(TINY, elapsed=True, reversed_order=True)):
        torch.manual_seed(0)
        made = TextMotionEvaluator(TextMotionModel(config, 384), load_text_encoder())
        save_evaluator(tmp_path / "e", made.model, load_text_encoder())
        assert json.loads((tmp_path / "e" / "config.json").read_text())["model"] == config.written()
        again = load_evaluator(tmp_path / "e")
        assert again.hash == made.hash
        assert isinstance(again, TextMotionEvaluator)
        assert again.model.config == config


@pytest.fixture(scope="module")
def tiny() -> TextMotionEvaluator:
    """An evaluator of eight kinds of motion, trained in seconds."""
    budget = Budget(steps=160, minutes=None, batch=24, learning_rate=3e-3, warmup=10)
    return TextMotionEvaluator(train_evaluator(glides(8, 1), WordEncoder(), TINY, budget), WordEncoder())


def test_a_small_evaluator_tells_what_it_was_trained_to_tell(tiny: TextMotionEvaluator) -> None:
    """Motions that it has not seen: the right caption of eight, and each wrong change of each of them."""
    clips = glides(4, 2)
    texts = sorted({clip.texts[0] for clip in clips})
    captions, motions = tiny.embed_texts(texts), tiny.embed_motions(clips)
    said = [texts[place] for place in (motions @ captions.T).argmax(axis=1)]
    assert np.mean([text == clip.texts[0] for text, clip in zip(said, clips, strict=True)]) > 0.95
    for change, made in CHANGES.items():
        wrong = tiny.embed_joints([made(motion_joints(clip)) for clip in clips])
        own = tiny.embed_texts([clip.texts[0] for clip in clips])
        wins = (own * motions).sum(axis=1) > (own * wrong).sum(axis=1)
        assert wins.mean() > 0.9, change


def test_scores_of_a_set_know_right_captions_from_wrong_ones(tiny: TextMotionEvaluator) -> None:
    clips = glides(8, 3)
    right = score_set(embed_set(tiny, clips), embed_set(tiny, glides(8, 4)))
    mixed = [replace(clip, texts=clips[place - 1].texts) for place, clip in enumerate(clips)]
    wrong = score_set(embed_set(tiny, mixed))
    assert right["fid"].value is not None
    assert right["fid"].value < 0.05
    assert right["mm_dist"].value < 0.6 * wrong["mm_dist"].value
    assert right["r_precision_1"].value is None, "eight captions fill no pool of 32"
    assert wrong["fid"].value is None, "nothing to compare with"
    assert right["multimodality"].value < 0.5 * right["diversity"].value, "motions of one prompt are alike"


def test_what_cannot_be_embedded_is_named_and_the_rest_goes_on(tiny: TextMotionEvaluator) -> None:
    clip = glides(1, 0)[0]
    bad = JointTrack(20.0, ("a", "b"), np.zeros((5, 2, 3)), name="two points")
    found = embed_set(tiny, [clip, bad, replace(clip, texts=("", *clip.texts)), replace(clip, texts=())])
    assert len(found.motions) == 3
    assert [len(captions) for captions in found.captions] == [1, 1, 0]
    assert [row["name"] for row in found.failed] == ["two points", clip.name]


def test_a_training_that_was_cut_short_goes_on_to_the_same_weights(tmp_path: Path) -> None:
    clips, checkpoint = glides(1, 0), tmp_path / "e.safetensors"
    budget = Budget(steps=6, minutes=None, batch=4, learning_rate=1e-3, save_every=3)
    whole = train_evaluator(clips, WordEncoder(), TINY, budget, checkpoint)
    resumed = train_evaluator(clips, WordEncoder(), TINY, budget, checkpoint)
    fresh = train_evaluator(clips, WordEncoder(), TINY, budget)
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, resumed.state_dict()[name]), name
        assert torch.equal(tensor, fresh.state_dict()[name]), name
    with pytest.raises(MotionError, match="expected the same, or another folder"):
        train_evaluator(clips[1:], WordEncoder(), TINY, budget, checkpoint)


class OnceAskedFor(Sequence[Clip]):
    """Clips that are made when they are asked for, and how many of them there are at once."""

    def __init__(self) -> None:
        self.alive = self.most = self.made = 0

    def __len__(self) -> int:
        return 16

    def __getitem__(self, index: int) -> Clip:  # type: ignore[override]  # nobody slices
        if index >= len(self):
            raise IndexError
        rng = np.random.default_rng(index)
        clip = glide("forward", "slowly", ("left", "right")[index % 2], rng)
        weakref.finalize(clip, self._gone)
        self.alive, self.made = self.alive + 1, self.made + 1
        self.most = max(self.most, self.alive)
        return clip

    def _gone(self) -> None:
        self.alive -= 1


def test_clips_are_made_once_and_never_all_held() -> None:
    clips = OnceAskedFor()
    train_evaluator(clips, WordEncoder(), TINY, Budget(steps=1, minutes=None, batch=4, learning_rate=1e-3))
    assert clips.made == 16
    assert clips.most <= 2, "the one that is looked at and the next"


def test_what_is_kept_on_the_disk_is_what_was_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MORPHLOOP_CACHE", str(tmp_path / "cache"))
    made = [make_example(clip, 0) for clip in glides(2, 1)]
    kept = kept_on_disk(made)
    for a, b in zip(made, kept, strict=True):
        assert (a.texts, a.wrong, list(a.changed)) == (b.texts, b.wrong, list(b.changed))
        for one, other in zip((*a.seen, *a.changed.values()), (*b.seen, *b.changed.values()), strict=True):
            assert np.array_equal(one, other)
            assert other.base is not None, "a part of the file, not an array of its own"
    assert list((tmp_path / "cache" / "evaluator").iterdir()) == [], "nothing stays when the process is killed"
    frames = np.concatenate([example.seen[0] for example in made]).astype(np.float64)
    mean, std = mean_and_std([example.seen[0] for example in kept])
    assert np.array_equal(mean, frames.mean(axis=0))
    assert np.array_equal(std, frames.std(axis=0))
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MORPHLOOP_CACHE", str(tmp_path / "file"))
    with pytest.raises(MotionError, match="cannot write here"):
        kept_on_disk(made)


def test_what_cannot_be_trained_on_is_one_line() -> None:
    budget = Budget(steps=1, minutes=None, batch=4, learning_rate=1e-3)
    with pytest.raises(MotionError, match="expected two or more"):
        train_evaluator(glides(1, 0)[:1], WordEncoder(), TINY, budget)
    with pytest.raises(MotionError, match="has no caption"):
        train_evaluator([replace(clip, texts=()) for clip in glides(1, 0)], WordEncoder(), TINY, budget)
    with pytest.raises(MotionError, match="expected an even number a head"):
        EvaluatorConfig(width=30, heads=4)


def test_a_folder_of_another_kind_or_text_encoder_is_refused(tiny: TextMotionEvaluator, tmp_path: Path) -> None:
    save_evaluator(tmp_path, tiny.model, WordEncoder())
    with pytest.raises(MotionError):
        load_evaluator(tmp_path)
    config = tmp_path / "config.json"
    config.write_text(config.read_text().replace('"words"', '"shipped"', 1))
    with pytest.raises(MotionError, match="trained with the text encoder 'shipped' of hash words"):
        load_evaluator(tmp_path)
    config.write_text(config.read_text().replace('"morphloop"', '"mardm-67"'))
    with pytest.raises(MotionError, match="kind 'mardm-67', expected morphloop"):
        load_evaluator(tmp_path)


def test_the_hash_changes_with_every_weight(tiny: TextMotionEvaluator) -> None:
    again = TextMotionModel(TINY, 24)
    again.load_state_dict(tiny.model.state_dict())
    assert TextMotionEvaluator(again, WordEncoder()).hash == tiny.hash
    with torch.no_grad():
        again.text_in.bias[0] += 1e-3
    assert TextMotionEvaluator(again, WordEncoder()).hash != tiny.hash
