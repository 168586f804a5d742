"""Words of our own that the field's terms took the place of do not come back."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("base", "language", "motion", "sim", "metrics", "envs", "imitator", "generator", "refinement_loop")
FOLDERS += ("cli", "benchmarks")
PLACES = ("*.md", "docs/**/*.md", "assets/**/*.md", "notebooks/*.ipynb", "tests/*.py")
KINDS = ("py", "html", "md")
FORMER = {
    "docs/house.md",
    "docs/runs.md",
    "tests/test_configuration.py",
    "tests/test_typed.py",
    "tests/test_words.py",
    "benchmarks/imitator/run.py",
    "cli/bench_imitator.py",
    "cli/train_imitator.py",
    "envs/config.py",
    "imitator/projection/config.py",
}
"""Where former names are told, taken or tested."""
RETIRED = {
    "control step": r"\bcontrol ticks?\b|\b[nu]_ticks\b|good_ticks",
    "demonstration": r"\b[Tt]apes?\b|\btape_",
    "trajectory optimiser": r"[Rr]efiner|\brefine[sd]?\b|[Tt]rajectory optimizer",
    "PD target": r"\bservo[_ ]targets?\b",
    "cost weight": r"(?<!\w)(?:slide_|slide-|shift_)?prices?d?\b",
    "reference preprocessing": r"[Hh]elp (?:for|of|that) (?:a |the )?references?\b|--ease\b",
    "failed": r"lost_(?:states|per_s)|LostState|\b(?:clips?|body|bodies|simulation)(?: that)? (?:is|are|was|were) lost",
    "segment": r"\b(?:a|the|each|one|same|longest|good) stretch(?:es)?\b",
    "what it says": r"\bthe issue\b|\bissue #|\bdesign\.md\b|\bdesign (?:file|document)\b",
}
"""The term, and the words in whose place it stands."""
PHYSICS = (
    "envs",
    "sim/physics",
    "sim/rollouts",
    "imitator/optimal_control",
    "imitator/projection",
    "imitator/training",
)
"""Where a tick could only be a control step."""


@pytest.fixture(scope="module")
def pages() -> dict[str, str]:
    """Code and documents by path, each on one line."""
    found = [path for place in PLACES for path in ROOT.glob(place)]
    found += [path for folder in FOLDERS for kind in KINDS for path in (ROOT / folder).rglob(f"*.{kind}")]
    return {str(path.relative_to(ROOT)): " ".join(path.read_text(encoding="utf-8").split()) for path in found}


@pytest.mark.parametrize("term", RETIRED)
def test_a_word_of_our_own_does_not_stand_for_a_term(term: str, pages: dict[str, str]) -> None:
    hits = [
        (path, hit[0]) for path, text in pages.items() if path not in FORMER for hit in re.finditer(RETIRED[term], text)
    ]
    assert hits == [], f"say {term}"


def test_where_bodies_are_driven_no_step_is_a_tick(pages: dict[str, str]) -> None:
    assert [
        path for path, text in pages.items() if path.startswith(PHYSICS) and re.search(r"\b[Tt]icks?\b", text)
    ] == []
