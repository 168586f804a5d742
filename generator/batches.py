"""Which examples a step is trained on: drawn by (seed, step), so that a resumed run sees what an unbroken one saw."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

ALIKE = 8
"""Steps whose examples are drawn together and sorted by length, so that little of a batch is padding."""


def deal(count: int, batch: int, step: int, seed: int) -> list[int]:
    """Places of a step's batch among `count` examples, shuffled: none comes a second time before all came once."""
    orders = {place // count for place in range(step * batch, (step + 1) * batch)}
    order = {number: np.random.default_rng([seed, number]).permutation(count) for number in orders}
    return [int(order[place // count][place % count]) for place in range(step * batch, (step + 1) * batch)]


def deal_alike(lengths: Sequence[int], batch: int, step: int, seed: int) -> list[int]:
    """Places of a step's batch among examples of these lengths: as `deal`, with examples of like length together."""
    group, number = divmod(step, ALIKE)
    places = sorted(deal(len(lengths), ALIKE * batch, group, seed), key=lengths.__getitem__)
    own = int(np.random.default_rng([seed, group, 1]).permutation(ALIKE)[number])
    return places[own * batch : (own + 1) * batch]
