"""A fixed number of threads inside a result, so that its bytes do not depend on the machine or on OMP_NUM_THREADS.

A sum that is split among threads is added up in another order: torch and BLAS give other last bits on two threads than
on one, and a policy or a generator trained on them is another one. Whatever makes something that is kept runs inside
`fixed_threads`; physics is stepped body by body and does not care.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from threadpoolctl import threadpool_limits

THREADS = 1
"""Unless a configuration asks for more: our networks are so small that a second thread gains little, and waits where
the machine has other work."""

_held: list[int] = []


def held_threads() -> int:
    """The number of threads that results are made with now, as `fixed_threads` was last told."""
    return _held[-1] if _held else THREADS


@contextmanager
def fixed_threads(count: int | None = None) -> Iterator[None]:
    """Torch and BLAS take `count` threads inside, and what the caller had afterwards; also a decorator.

    count: None for what an outer `fixed_threads` holds, else `THREADS`.
    """
    import torch  # takes a second: not for those who only read files

    count = held_threads() if count is None else count
    if _held and _held[-1] == count:
        yield
        return
    before = torch.get_num_threads()
    _held.append(count)
    try:
        with threadpool_limits(count):
            torch.set_num_threads(count)  # also of MKL inside it, which threadpoolctl cannot see
            yield
    finally:
        _held.pop()
        torch.set_num_threads(before)
