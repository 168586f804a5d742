"""Worker processes for a long list of tasks: a worker that dies takes one task with it, never the batch.

`concurrent.futures` gives up on every waiting task when one of its processes is killed; here each worker has a pipe of
its own, so the parent knows which task died. Messages are JSON text, no pickle; the parent holds one message at a time.
Inside `done_by` another engine does the tasks, such as a Ray cluster (`ray_cluster`).
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, Protocol

from . import MotionError
from .threads import fixed_threads, held_threads

Message = dict[str, Any]
Work = Callable[[Message], Iterator[Message]]
"""What is done with a task: a module's function, told by name to the workers, or a partial of one, whose arguments are
pickled to each worker once, as it starts."""
Done = Iterator[tuple[int, Message | None]]
"""(number of a task, message of it), then (number, None) when the task is done."""
READY = b"ready"
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
"""What says how many threads a library takes when it is loaded."""


class Engine(Protocol):
    """Who does tasks in place of this machine's processes."""

    @property
    def crew(self) -> int:
        """How many tasks it is given at a time where nobody says."""
        ...

    def run(self, work: Work, tasks: Iterable[Message], workers: int) -> Done:
        """As `run_tasks`, for one worker or more."""
        ...


_engines: list[Engine] = []


@contextmanager
def done_by(engine: Engine) -> Iterator[None]:
    """Tasks that are run inside are the engine's."""
    _engines.append(engine)
    try:
        yield
    finally:
        _engines.pop()


def crew_size(asked: int | None, tasks: int, few: int = 0) -> int:
    """Workers for so many tasks: as many as were asked for; if None one a core, or as many as the engine takes, and no
    more than tasks. few: tasks up to which processes take longer to start than they save, so that there are none."""
    if asked is not None:
        return asked
    if _engines:
        return min(_engines[-1].crew, tasks)
    return min(os.cpu_count() or 1, tasks) if tasks > few else 0


def cores_each(workers: int) -> int:
    """Cores that each of so many workers has to itself."""
    return 1 if _engines else max(1, (os.cpu_count() or 1) // workers)


@dataclass
class _Worker:
    """A process, this end of its pipe, and the number of the task it is at (None: idle)."""

    process: BaseProcess
    pipe: Connection
    task: int | None = None

    def stop(self) -> None:
        self.pipe.close()
        self.process.kill()
        self.process.join()


def run_tasks(work: Work, tasks: Iterable[Message], workers: int) -> Done:
    """What `work` yields for each task as (number of the task, message), then (number, None) when the task is done.

    The order of tasks among each other is open, that of one task's messages kept. workers: processes; 0 does the work
    in this one. A task whose worker died yields {"died": why}. Whoever stops reading (Ctrl-C) ends the workers too.
    """
    if workers == 0:
        for number, task in enumerate(tasks):
            for message in work(task):
                yield number, message
            yield number, None
        return
    if _engines:
        yield from _engines[-1].run(work, tasks, workers)
        return
    crew: list[_Worker] = []
    try:
        crew += [_start(work) for _ in range(workers)]
        yield from _share_out(work, enumerate(tasks), crew)
    finally:
        for worker in crew:
            worker.stop()


def _share_out(work: Work, tasks: Iterator[tuple[int, Message]], crew: list[_Worker]) -> Done:
    for place in range(len(crew)):
        _feed(work, tasks, crew, place)
    while busy := {worker.pipe: place for place, worker in enumerate(crew) if worker.task is not None}:
        for pipe in wait(list(busy)):
            place = busy[pipe]  # type: ignore[index]  # wait() gives back what it was given
            number = crew[place].task
            assert number is not None
            try:
                message, last = json.loads(crew[place].pipe.recv_bytes())
            except (EOFError, ConnectionResetError):
                message, last = {"died": _death(crew[place].process)}, True
                _replace(work, crew, place)
            if message is not None:
                yield number, message
            if last:
                yield number, None
                _feed(work, tasks, crew, place)


def _feed(work: Work, tasks: Iterator[tuple[int, Message]], crew: list[_Worker], place: int) -> None:
    """Give an idle worker the next task, if there is one; a worker that died idle is replaced first."""
    crew[place].task = None
    for number, task in tasks:
        data = json.dumps(task).encode()
        try:
            crew[place].pipe.send_bytes(data)
        except (BrokenPipeError, ConnectionResetError):
            _replace(work, crew, place)
            crew[place].pipe.send_bytes(data)
        crew[place].task = number
        return


def _replace(work: Work, crew: list[_Worker], place: int) -> None:
    crew[place].stop()
    crew[place] = _start(work)


def _start(work: Work) -> _Worker:
    """A worker that has said that it is ready."""
    if "forkserver" in multiprocessing.get_all_start_methods():
        context = multiprocessing.get_context("forkserver")  # imports once for all workers
        function = work.func if isinstance(work, partial) else work
        context.set_forkserver_preload([function.__module__])
    else:
        context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, work, held_threads()), daemon=True)
    with _threads_by_name(held_threads()), _deaf_to_ctrl_c():
        process.start()
    theirs.close()
    worker = _Worker(process, ours)
    try:
        ours.recv_bytes()
    except (EOFError, ConnectionResetError):
        why = _death(process)
        worker.stop()
        raise MotionError(
            f"worker processes do not start here ({why}): a script needs `if __name__ == '__main__':`, "
            "or take workers 0 for this process alone"
        ) from None
    return worker


def _serve(pipe: Connection, work: Work, threads: int) -> None:
    """A worker's life: a task in, its messages out, until the parent is gone; with as many threads as the parent holds,
    so that it does not matter who did a task.

    The last message of a task says that it is the last: a task whose worker dies came whole or is known to lack some.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle, also where masks do not exist
    with fixed_threads(threads), suppress(EOFError, BrokenPipeError, ConnectionResetError):
        pipe.send_bytes(READY)
        while True:
            waiting = None
            for message in work(json.loads(pipe.recv_bytes())):
                if waiting is not None:
                    _send(pipe, waiting, last=False)
                waiting = message
            _send(pipe, waiting, last=True)


def _send(pipe: Connection, message: Message | None, last: bool) -> None:
    pipe.send_bytes(json.dumps([message, last], allow_nan=False).encode())


def _death(process: BaseProcess) -> str:
    """How a process ended, in words."""
    process.join(timeout=5)
    code = process.exitcode
    if code is not None and code < 0:
        return f"killed by {signal.Signals(-code).name}"
    return f"exit code {code}"


@contextmanager
def _threads_by_name(count: int) -> Iterator[None]:
    """Libraries that processes started inside load take `count` threads from the first, whatever the environment says:
    those that would wait for each other are not even made."""
    before = {name: os.environ.get(name) for name in THREADS}
    os.environ.update(dict.fromkeys(THREADS, str(count)))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextmanager
def _deaf_to_ctrl_c() -> Iterator[None]:
    """Processes that are started inside do not get Ctrl-C, not even while they still import; ours waits until then."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()  # it is started once, and lifts the mask when it does
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
