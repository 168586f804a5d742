"""The guard's purpose: what forgets its words, stands still or does one thing only goes back; what is better stays.

The generators here hand out corpus clips: which clip they take for a prompt is what they know of words, and how far it
floats over the ground is their physics.
"""

import json
from dataclasses import replace
from functools import cache
from xml.etree import ElementTree

import numpy as np
import pytest

from morphloop.generator import adheres, diversity, named_facts, prompt_class
from morphloop.generator import asked as questions
from morphloop.generator.asked import by_words
from morphloop.motion import described_captions, make_corpus
from morphloop.motion.corpus.described import DescribedClips
from morphloop.refinement_loop import HeldOut, compare_generators, guard, guard_chart, guard_samples
from morphloop.refinement_loop.retrieval import Retrieval

FLOAT_M = 0.03
"""How high the clips of a generator with poor physics float."""
SECONDS = (3.0, 4.0)


def quiet(done, total):
    """Watches nothing."""


@cache
def pool(lift=0.0):
    """Short test clips with the facts that their captions name, and how high they float."""
    if lift:
        return [(clip.moved(np.array([0.0, 0.0, lift])), facts) for clip, facts in pool()]
    clips = make_corpus(44, 9, "test")
    return [(clip, {fact.name for text in clip.texts for fact in named_facts(text)}) for clip in clips]


def doing(names, lift):
    """Clips that do most of what is named; all of it, where the pool has such a clip."""
    most = max(len(names & facts) for _, facts in pool(lift))
    return [clip for clip, facts in pool(lift) if len(names & facts) == most]


class Answers:
    """A generator that looks its clips up; `choose(names, rng)` says what it takes the prompt's facts for."""

    def __init__(self, name, choose, lift=0.0, frozen=False):
        self.name, self.choose, self.lift, self.frozen, self.asked = name, choose, lift, frozen, 0

    def hash(self):
        return self.name

    def generate(self, prompts, seed, seconds=SECONDS):
        self.asked += len(prompts)
        return [self._one(prompt, np.random.default_rng([seed, place])) for place, prompt in enumerate(prompts)]

    def _one(self, prompt, rng):
        names = self.choose({fact.name for fact in named_facts(prompt)}, rng)
        clips = doing(names, self.lift)
        clip = clips[rng.integers(len(clips))]
        return held(clip) if self.frozen else clip


@cache
def held(clip):
    """Nothing but the clip's first pose, put on the ground."""
    return replace(clip, root_pos=clip.root_pos[:1].repeat(30, 0), rotations=clip.rotations[:1].repeat(30, 0))


def knows(share):
    """Takes that share of the prompts for what they say, and the others for a bow."""
    return lambda names, rng: names if rng.random() < share else {"bow"}


def mixes_sides(names, rng):
    """Left or right as it comes."""
    swapped = {name.replace("left", "RIGHT").replace("right", "left").replace("RIGHT", "right") for name in names}
    return names if rng.random() < 0.5 else swapped


@pytest.fixture(autouse=True)
def measured_once(monkeypatch):
    """The same clip is measured once in this process, whoever hands it out."""
    for name, once in ONCE.items():
        monkeypatch.setattr(guard_samples, name, once)
    monkeypatch.setattr(questions, "named_facts", facts_once)


ONCE = {name: cache(getattr(guard_samples, name)) for name in ("measure", "joint_speed", "root_travel")}
FACTS = {}


def facts_once(prompt):
    return tuple(FACTS.setdefault(fact.name, replace(fact, passes=cache(fact.passes))) for fact in named_facts(prompt))


START = Answers("start", knows(0.9), FLOAT_M)


class Judge:
    """An evaluator that knows the facts of the pool's clips and of prompts: both embed as what they name."""

    kind, hash = "by facts", "0"

    def __init__(self):
        self.names = sorted(set().union(*(facts for _, facts in pool())))
        self.facts = {clip.id: facts for lift in (0.0, FLOAT_M) for clip, facts in pool(lift)}
        self.dimensions = len(self.names)

    def embed_texts(self, texts):
        return self._told({fact.name for fact in named_facts(text)} for text in texts)

    def embed_motions(self, motions):
        return self._told(self.facts.get(motion.id, set()) for motion in motions)

    def _told(self, sets):
        return np.array([[float(name in facts) for name in self.names] for facts in sets])


@pytest.fixture(scope="module")
def asked(tmp_path_factory):
    """64 prompts with 2 samples each; answers are kept."""
    return HeldOut(64, 2, 3, SECONDS, folder=tmp_path_factory.mktemp("guard"), evaluator=Judge, described=0.0)


def judged(asked, after, before=START):
    return compare_generators(START, before, after, asked, quiet)


def failed(result):
    return {check["figure"] for check in result["checks"] if not check["passed"]}


def test_every_caption_of_the_corpus_names_facts_that_its_clip_does():
    clips = make_corpus(64, 21, "train")
    said = [(clip, text, adheres(clip, text)) for clip in clips for text in clip.texts]
    assert all(passed is not None for _, _, passed in said)
    assert np.mean([passed for _, _, passed in said]) > 0.97
    others = [
        adheres(clip, text) for clip in clips for other in clips[::8] for text in other.texts[:1] if other is not clip
    ]
    assert np.mean(others) < 0.2


@pytest.mark.parametrize(
    ("prompt", "names"),
    [
        ("a person walks forward while waving with the left hand.", ["walk forward", "wave left"]),
        ("a man turns ninety degrees to the right on the spot.", ["turn right"]),
        ("Someone walks backwards slowly", ["walk backward"]),
        ("a person takes two steps back, then kicks with the right leg", ["walk backward", "kick right"]),
        ("a person squats down and stands back up.", ["squat"]),
        ("a person turns around", ["turn"]),
        ("a person marches in place with high knees", []),
        ("a woman raises both arms sideways", ["raise both arms"]),
        ("a man turns his head to the left", []),
        ("someone walks ahead with a bent back", ["walk forward"]),
        ("a dog plays chess", []),
        ("a person does not turn left", []),
    ],
)
def test_words_name_facts(prompt, names):
    assert [fact.name for fact in named_facts(prompt)] == names
    assert prompt_class(prompt) == (names[0].removesuffix(" left").removesuffix(" right") if names else "other")


def test_a_frozen_generator_is_rolled_back(asked):
    result = judged(asked, Answers("frozen", knows(0.9), frozen=True))
    assert result["metrics"]["physdiff_phys_err_mm"]["after"]["mean"] < 1.0
    assert result["rolled_back"]
    assert {"adherence", "joint_speed_m_s", "root_travel_m_s"} <= failed(result)


def test_one_that_always_walks_is_rolled_back(asked):
    result = judged(asked, Answers("walker", lambda names, rng: {"walk forward"}))
    assert result["rolled_back"]
    assert "adherence" in failed(result)
    assert result["adherence"]["by_fact"]["squat"]["after"] < 0.5 < result["adherence"]["by_fact"]["squat"]["start"]


def test_one_that_forgets_left_from_right_is_rolled_back(asked):
    result = judged(asked, Answers("mixed", mixes_sides))
    assert result["rolled_back"]
    assert "adherence" in failed(result)
    assert any("adherence to prompts" in reason for reason in result["reasons"])


def test_a_truly_better_one_is_kept_and_few_prompts_are_said(asked):
    result = judged(asked, Answers("better", knows(0.92)))
    assert not result["rolled_back"], result["reasons"]
    assert result["metrics"]["physdiff_phys_err_mm"]["change"]["ci95"][1] < 0.0
    wide = {check["figure"] for check in result["checks"] if check["decided_by"] == "mean"}
    assert all(any(guard.LABELS[name] in line for line in result["caveats"]) for name in wide)


def test_one_that_gives_one_clip_a_prompt_is_rolled_back(asked):
    class Single(Answers):
        def _one(self, prompt, rng):
            return super()._one(prompt, np.random.default_rng(0))

    result = judged(asked, Single("single", knows(1.0)))
    assert "diversity_m" in failed(result)
    assert result["diversity"]["after"]["mean"] == 0.0


def test_floating_and_drifting_are_no_diversity():
    """Half of the shipped generator's training clips float or drift, and to mend that read as a loss of diversity."""
    clips = doing({"walk forward"}, 0.0)[:3]
    faulty = []
    for number, clip in enumerate(clips):
        way = np.arange(clip.num_frames)[:, None] / clip.fps * [0.2, 0.1 * number, 0.02]
        faulty.append(replace(clip, root_pos=clip.root_pos + way + [0.0, 0.0, 0.05 * number]))
    assert diversity(clips) > 0.02
    assert diversity(faulty) == pytest.approx(diversity(clips), rel=1e-6)


def test_worse_physics_alone_is_rolled_back(asked):
    clean = Answers("clean", knows(0.9))
    assert failed(compare_generators(clean, clean, START, asked, quiet)) == {guard.DECISIVE}


def test_every_figure_has_all_its_sides(asked):
    result = judged(asked, Answers("better", knows(0.92)))
    parts = ("adherence", "r_precision_3", "motion_energy", "diversity")
    figures = [result[name] for name in parts] + [result["motion_energy"]["root_travel"], *result["metrics"].values()]
    for figure in figures:
        assert {"before", "after", "start", "change", "change_from_start"} <= figure.keys()
    assert 0.0 < result["adherence"]["chance"] < 0.3
    assert result["adherence"]["judged"] == result["prompts"] == 64
    json.dumps(result, allow_nan=False)


def test_three_points_a_round_are_stopped_within_four_rounds(tmp_path, monkeypatch):
    asked = HeldOut(256, 4, 5, SECONDS, folder=tmp_path, described=0.0)
    monkeypatch.setattr(guard_samples, "diversity", lambda clips: 1.0)
    before, verdicts = START, []
    for number in range(1, 5):
        after = Answers(f"round{number}", knows(0.9 - 0.03 * number), FLOAT_M - 0.005 * number)
        verdicts.append(compare_generators(START, before, after, asked, quiet))
        if verdicts[-1]["rolled_back"]:
            break
        before = after
    assert verdicts[-1]["rolled_back"]
    assert failed(verdicts[-1]) == {"adherence"}


def test_r_precision_tells_who_forgets_words_from_who_does_not(asked):
    assert "r_precision_3" not in failed(judged(asked, Answers("better", knows(0.92))))
    result = judged(asked, Answers("mixed", mixes_sides))
    assert "r_precision_3" in failed(result)
    assert result["r_precision_3"]["before"]["mean"] > 0.8
    assert result["r_precision_3"]["evaluator"] == {"kind": "by facts", "hash": "0"}


class Described:
    """Answers captions of the described corpus with their own clips; `change` spoils them."""

    def __init__(self, name, change=lambda clip: clip):
        self.name, self.change = name, change
        self.clips = {clip.texts[0]: clip for clip in DescribedClips([(DESCRIBED, SEED, False)], "test")}

    def hash(self):
        return self.name

    def generate(self, prompts, seed, seconds=SECONDS):
        return [self.change(self.clips[prompt]) for prompt in prompts]


DESCRIBED, SEED = 40, 4


def backward_in_time(clip):
    return replace(clip, root_pos=clip.root_pos[::-1], rotations=clip.rotations[::-1])


def test_what_is_composed_is_asked_for_and_judged_by_the_facts_of_its_grammar():
    """The words of a caption do not tell all of its facts; the grammar that wrote it does, and their order."""
    held_out = HeldOut(DESCRIBED, 2, SEED, SECONDS, described=1.0)
    good, bad = (held_out.answers(Described(name, change), quiet) for name, change in
                 (("clips", lambda clip: clip), ("reversed", backward_in_time)))  # fmt: skip
    assert np.mean([row["adherence"] for row in good]) > 0.9
    stages = [place for place, asked in enumerate(held_out.questions) if not all(good[place]["facts"].values())]
    assert len(stages) > 2
    assert np.mean([good[place]["adherence"] for place in stages]) > 0.6, "a count of one stage is none of the whole"
    sequences = [place for place, asked in enumerate(held_out.questions) if ", then " in facts_of(asked.text)]
    assert len(sequences) > 2
    assert np.mean([bad[place]["adherence"] for place in sequences]) < 0.4


def facts_of(text):
    return next(",".join(one[0].facts) for one in described_captions(DESCRIBED, SEED, "test") if one[0].text == text)


def test_questions_are_of_both_corpora_and_none_is_known():
    questions_ = HeldOut(40, 2, 1, SECONDS).questions
    assert len(questions_) == len({asked.text for asked in questions_}) == 40
    captions = {one[0].text for one in described_captions(20, 1, "test")}
    assert sum(asked.text in captions for asked in questions_) in (19, 20)
    known = frozenset(asked.text for asked in questions_[:5])
    assert not known & set(HeldOut(40, 2, 1, SECONDS, known).prompts)


def test_nobody_is_loaded_before_a_question_is_asked(tmp_path):
    """A run without a fine-tuning or without held-out prompts has no use for the evaluator."""
    loaded = []
    asked = HeldOut(
        2, 1, 0, SECONDS, folder=tmp_path, described=0.0, evaluator=lambda: loaded.append("judge") or Judge()
    )
    assert asked.prompts
    assert not loaded
    asked.answers(START, quiet)
    asked.answers(START, quiet)
    assert loaded == ["judge"]


def test_precision_is_the_mean_over_all_pools():
    texts = [clip.texts[0] for clip, _ in pool()]
    judge, rng = Retrieval(Judge(), [by_words(text) for text in texts]), np.random.default_rng(0)
    clip = pool()[3][0]
    own, others = judge._texts[3], judge._texts[judge._others[3]]
    assert len(others) >= 31
    motion = judge.evaluator.embed_motions([pool()[5][0]])[0]
    nearer = np.square(others - motion).sum(1) <= np.square(own - motion).sum()
    drawn = [nearer[rng.permutation(len(others))[:31]].sum() < 3 for _ in range(4000)]
    assert judge.precision(3, [pool()[5][0]]) == pytest.approx(np.mean(drawn), abs=0.03)
    assert judge.precision(3, [clip]) > judge.precision(3, [pool()[5][0]])
    assert Retrieval(Judge(), [by_words(text) for text in texts[:20]]).precision(3, [clip]) is None


def test_a_generator_answers_once_in_a_run(asked):
    judged(asked, Answers("better", knows(0.92)))
    again, start = Answers("better", knows(0.92)), Answers("start", knows(0.9), FLOAT_M)
    first = compare_generators(start, start, again, asked, quiet)
    assert (again.asked, start.asked) == (0, 0)
    for path in asked.folder.glob("*.json"):  # figures that were changed by hand are not believed
        path.write_text(path.read_text().replace('"adherence": 1.0', '"adherence": 0.5', 1))
    assert compare_generators(start, start, again, asked, quiet) == first
    assert again.asked + start.asked > 0


def test_all_rounds_are_one_picture(asked):
    good, bad = judged(asked, Answers("better", knows(0.92))), judged(asked, Answers("mixed", mixes_sides))
    picture = ElementTree.fromstring(guard_chart.progress_chart([(0, good), (1, bad)]))
    panels = list(picture)
    assert len(panels) == 7
    for panel in (panels[0], *panels[2:]):  # what floats has no slide
        styles = [mark.get("class") for mark in panel]
        assert (styles.count("kept"), styles.count("cross"), styles.count("start")) == (1, 2, 1)
        assert "round 1" in "".join(panel.itertext())
    figure = {side: {"mean": 1.0, "ci95": None} for side in ("before", "after")}
    old = {"rolled_back": False, "metrics": {"physdiff_phys_err_mm": figure, "slide_mean_mm_s": figure}}
    text = "".join(ElementTree.fromstring(guard_chart.progress_chart([(0, old)])).itertext())
    assert text.count("not measured in this run") == 5
    assert guard_chart.progress_chart([]) == ""
