"""The global random streams of Python, NumPy and torch: a library call may seed them, and gives them back as they were.

What is drawn here comes from generators of its own wherever the library underneath takes one. Dropout, the weights of a
new network and all of Stable-Baselines3 take none.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np


@contextmanager
def own_streams(seed: int | None = None) -> Iterator[None]:
    """Draws from global streams inside do not move the caller's; also a decorator.

    seed: of torch's streams inside; None to go on from where the caller's stand.
    """
    import torch  # takes a second: not for those who only read files

    python, numpy, cpu = random.getstate(), np.random.get_state(), torch.get_rng_state()
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else None
    try:
        if seed is not None:
            torch.manual_seed(seed)
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)
        torch.set_rng_state(cpu)
        if cuda is not None:
            torch.cuda.set_rng_state_all(cuda)
