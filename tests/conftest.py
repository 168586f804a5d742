"""What all tests share."""

import gc
import multiprocessing
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from chromium import Browser, find_chromium


@pytest.fixture(autouse=True, scope="session")
def no_waiting_for_the_disk() -> Iterator[None]:
    """What tests write need not outlive a power cut: to flush each file to a busy disk takes up to half a second."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda handle: None)
        yield


@pytest.fixture(scope="session")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """A browser that tests open pages in; without one they are skipped. `.ci/run` installs Debian's."""
    program = find_chromium()
    if program is None:
        pytest.skip("no chromium on this machine")
    with Browser(program, tmp_path_factory.mktemp("chromium")) as browser:
        yield browser


@pytest.fixture
def fits_a_phone(chromium: Browser) -> Callable[[Path], None]:
    """Opens a page in windows as wide as phones, everything unfolded; fails if a reader must scroll it sideways."""

    def check(path: Path) -> None:
        for width in (500, 360):
            with chromium.page(path.as_uri(), width, 900) as page:
                assert page.ask("document.querySelectorAll('details').forEach((part) => { part.open = true; })") is None
                assert page.ask("document.querySelectorAll('table').length") > 0
                assert page.ask("getComputedStyle(document.body).overflowX") == "visible", "nothing is cut off"
                assert page.ask("document.documentElement.scrollWidth") <= width
                assert page.errors == []

    return check


@pytest.fixture
def made_row() -> Callable[..., Any]:
    """Makes a row of the imitator's bench from the figures that a test sets."""
    from morphloop.imitator.bench.bench import PHYSICS

    def made(success: float, skill: float, error: float, slide: float | None, projector: str = "policy") -> Any:
        after = {name: 0.0 for name in PHYSICS} | {"slide_mean_mm_s": slide, "physdiff_skate_mm": 0.4}
        tracking = {
            "success": success,
            "success_strict": 0.0,
            "skill": skill,
            "e_mpjpe_mm": error,
            "e_g_mpjpe_mm": error,
        }
        return {
            "tracking": tracking,
            "after": after,
            "reached": 1.0,
            "projector": projector,
            "wall_s": 6.0,
            "seconds": 3.0,
        }

    return made


@pytest.fixture
def killed_trainings() -> Callable[..., int]:
    """How many trainings of a clip were at work when killed: `times` forks that go on in `folder`, each killed
    by -9 at a moment of at most `longest_s` after its log has begun; `after_each` looks at what is left."""

    def kill(
        clip: Any,
        folder: Path,
        config: Any,
        times: int,
        longest_s: float,
        after_each: Callable[[], None] = lambda: None,
    ) -> int:
        import torch

        from morphloop.imitator import train_imitator
        from morphloop.sim import default_body

        def train() -> None:
            torch.set_num_threads(1)
            train_imitator([clip], [], folder, config, body=default_body())

        rng, killed = np.random.default_rng(0), 0
        fork = multiprocessing.get_context("fork")
        gc.collect()  # a batch of simulations that is collected in a fork waits for threads that only the parent has
        gc.freeze()
        for _ in range(times):
            process = fork.Process(target=train)
            process.start()
            deadline = time.monotonic() + 60.0
            while not (folder / "log.jsonl").exists() and process.is_alive() and time.monotonic() < deadline:
                time.sleep(0.01)
            time.sleep(rng.uniform(0.0, longest_s))
            process.kill()
            process.join()
            killed += process.exitcode == -9
            after_each()
        gc.unfreeze()
        return killed

    return kill
