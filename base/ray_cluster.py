"""A Ray cluster as the engine of tasks (`pool.done_by`): what processes of one machine do, done by many machines.

A task goes out as the JSON text that a process would get, and its messages come back as one text, so that whoever did
it the result is the same; what is written is written here. A task whose worker was lost is done again by another. A
machine with other code, other versions or without the folder of the command ends the run: its results would be others.
"""

from __future__ import annotations

import json
import logging
import os
import pickle
import socket
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from .errors import MachineFault, MotionError
from .opening import in_one_line
from .pool import Done, Message, Work, done_by
from .still_valid import basis, difference
from .terminal import complain
from .threads import fixed_threads, held_threads

CODE = ("motion", "sim", "metrics", "envs", "imitator")
"""Folders whose code a task rests on."""
AHEAD = 2
"""Tasks that a cluster holds for each of its cores: one waits where one is done."""
TRIES = 3
"""How often a task is given away before it is taken for what its workers died of."""
ANSWER_S = 5.0
"""Seconds in which an address answers."""
POLL_S = 10.0
"""Seconds without a result after which the cluster is asked for its cores."""
STORE_BYTES = 256 << 20
"""Of a local cluster's memory for messages on their way."""
FRAME = 9
"""Bytes of the head of an HTTP/2 frame: 3 of its length, its type, its flags, 4 of its stream."""
DATA, HEADERS, RESET, GOAWAY = 0, 1, 3, 7
LAST = 1
"""Flag of the last frame of a stream."""
METHOD = b"/ray.rpc.NodeInfoGcsService/GetClusterId"
NAMED, NO_TOKEN = bytes((0x12, 28)), b"grpc-status\x0216"
"""What Ray answers to it: field 2 of 28 bytes, its name, or that it wants a token first."""


@contextmanager
def ray_cluster(address: str | None, workers: int | None = None) -> Iterator[None]:
    """Tasks that are run inside are done by a Ray cluster.

    address: HOST:PORT of the head of one that this machine is in; None starts one on this machine, which ends with it,
    of `workers` cores, all if None. MotionError in one line if Ray is not installed, the address does not answer or
    does not take this process.
    """
    try:
        import ray
    except ImportError:
        raise MotionError("--engine ray: ray is not installed, expected: pip install 'morphloop[cluster]'") from None
    if address is None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing of a cluster of ours is told to anybody
        own = {"num_cpus": workers, "object_store_memory": STORE_BYTES, "include_dashboard": False}
    else:
        check_answers(address)
        own = {}
    try:
        ray.init(address=address or "local", log_to_driver=False, logging_level=logging.ERROR, **own)
    except Exception as error:
        where = "no cluster starts on this machine" if address is None else f"--ray-address {address}"
        raise MotionError(f"--engine ray: {where} ({type(error).__name__}: {in_one_line(error, 300)})") from error
    try:
        with done_by(RayCluster(ray)):
            yield
    finally:
        ray.shutdown()


def check_answers(address: str) -> None:
    """MotionError in one line unless the head of a Ray cluster answers at HOST:PORT in time: Ray itself tries for long,
    and says so in many lines. Where lines are encrypted only the port is tried."""
    host, _, port = address.rpartition(":")
    if not (host and port.isascii() and port.isdigit() and 0 < int(port) < 65536) or "/" in host:
        raise MotionError(
            f"--ray-address {address[:60]}: expected HOST:PORT of the cluster's head, such as 10.0.0.1:6379"
        )
    try:
        with socket.create_connection((host.strip("[]"), int(port)), ANSWER_S) as line:
            if os.environ.get("RAY_USE_TLS", "0") in ("1", "true"):
                return
            line.sendall(_name_asked_for())
            answer = _answered(line)
    except OSError as error:
        why = "no answer" if isinstance(error, TimeoutError) else error.strerror or str(error)
        raise MotionError(
            f"--ray-address {address}: {why}, expected HOST:PORT of the head of a running cluster"
        ) from None
    if NO_TOKEN in answer:
        if os.environ.get("RAY_AUTH_MODE") != "token":
            raise MotionError(
                f"--ray-address {address}: the cluster wants a token, expected RAY_AUTH_MODE=token and RAY_AUTH_TOKEN"
            )
    elif NAMED not in answer:
        raise MotionError(f"--ray-address {address}: what answers is not Ray, expected HOST:PORT of a cluster's head")


def _name_asked_for() -> bytes:
    """A call of gRPC that asks a cluster for its name (RFC 7540 and 7541): Ray brings no client for Python that is
    quiet where nobody answers it."""
    fields = bytes((0x83, 0x86, 0x04, len(METHOD))) + METHOD  # POST, http, path; then authority, content-type, te
    fields += b"\x01\x03ray" + b"\x0f\x10\x10application/grpc" + b"\x00\x02te\x08trailers"
    return b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"".join(
        len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload
        for kind, flags, stream, payload in (
            (4, 0, 0, b""),  # settings, none
            (HEADERS, 4, 1, fields),  # all of them
            (DATA, LAST, 1, bytes(5)),  # a message of no bytes
        )
    )


def _answered(line: socket.socket) -> bytes:
    """What is answered to the call, its fields too, nothing by who speaks no HTTP/2. TimeoutError where that has not
    ended after `ANSWER_S`."""
    deadline, told, waiting = time.monotonic() + ANSWER_S, b"", b""
    while (left := deadline - time.monotonic()) > 0:
        line.settimeout(left)
        got = line.recv(1 << 14)
        waiting += got
        while len(waiting) >= FRAME and len(waiting) >= FRAME + (length := int.from_bytes(waiting[:3], "big")):
            kind, flags, payload = waiting[3], waiting[4], waiting[FRAME : FRAME + length]
            waiting = waiting[FRAME + length :]
            told += payload if kind in (DATA, HEADERS) else b""
            if kind in (RESET, GOAWAY) or (kind in (DATA, HEADERS) and flags & LAST):
                return told
        if not got:
            return told
    raise TimeoutError


@dataclass
class _Flight:
    """A task that the cluster has: its number, its text, and how often it was given away."""

    number: int
    task: bytes
    tries: int = 0


class RayCluster:
    """The cluster that this process is connected to. MotionError if it has no core to do anything.

    ray: the package.
    """

    def __init__(self, ray: Any):
        self.ray = ray
        self.cores = self._cores()
        if self.cores == 0:
            raise MotionError("--engine ray: the cluster has no CPU to give, expected machines with some")

    @property
    def crew(self) -> int:
        return AHEAD * self.cores

    def _cores(self) -> int:
        return int(self.ray.cluster_resources().get("CPU", 0))

    def run(self, work: Work, tasks: Iterable[Message], workers: int) -> Done:
        """As `run_tasks`; workers: tasks that the cluster is given at a time."""
        ray, error_types = self.ray, self.ray.exceptions
        give = ray.remote(num_cpus=1, max_retries=0)(do_task).remote
        shared = ray.put(pickle.dumps(work))
        same = (held_threads(), os.getcwd(), json.dumps(basis(CODE, {}, {})))
        waiting = (_Flight(number, json.dumps(task).encode()) for number, task in enumerate(tasks))
        flying: dict[Any, _Flight] = {}

        def start(flight: _Flight) -> None:
            flight.tries += 1
            flying[give(shared, flight.task, *same)] = flight

        try:
            while True:
                while len(flying) < workers and (flight := next(waiting, None)) is not None:
                    start(flight)
                if not flying:
                    return
                ref = self._landed(list(flying))
                flight = flying.pop(ref)
                try:
                    messages = _told(ray.get(ref))
                except error_types.RayTaskError as error:  # not of the work: `do_task` tells what that raises
                    raise MotionError(
                        f"--engine ray: a worker cannot begin ({in_one_line(error.cause, 300)})"
                    ) from error
                except error_types.RayError as error:
                    why = f"{type(error).__name__}: {in_one_line(error, 200)}"
                    if flight.tries < TRIES:
                        complain(f"--engine ray: a worker was lost, what it was at is done again ({why})")
                        start(flight)
                        continue
                    messages = [{"died": f"{TRIES} workers were lost with it, the last one by {why}"}]
                for message in messages:
                    yield flight.number, message
                yield flight.number, None
        finally:
            for ref in flying:
                ray.cancel(ref, force=True)

    def _landed(self, flying: list[Any]) -> Any:
        """One that is done, or lost. MachineFault where nobody is left to do it."""
        while True:
            done, _ = self.ray.wait(flying, num_returns=1, timeout=POLL_S)
            if done:
                return done[0]
            if self._cores() == 0:
                raise MachineFault("--engine ray: no machine is left in the cluster; run it again")


def do_task(work: bytes, task: bytes, threads: int, folder: str, made_with: str) -> bytes:
    """What a worker does: the messages of a task as JSON text, {"unfit": why} where this machine would make others.

    work: pickled; threads: that results are made with; folder: of the command; made_with: basis of its results.
    """
    why = _unfit(folder, made_with)
    if why is not None:
        return json.dumps({"unfit": why}).encode()
    try:
        with fixed_threads(threads):
            return json.dumps(list(_work(work)(json.loads(task))), allow_nan=False).encode()
    except Exception as error:
        return json.dumps([{"died": f"{type(error).__name__}: {in_one_line(error)}"}]).encode()


@lru_cache(maxsize=1)
def _work(data: bytes) -> Work:
    """Unpickled once in a worker: bytes of the command that the cluster runs code for in any case, never of a file."""
    return pickle.loads(data)


@lru_cache(maxsize=1)
def _unfit(folder: str, made_with: str) -> str | None:
    """Why this machine cannot do a command's tasks, None if it can; then it is in the command's folder."""
    why = difference(basis(CODE, {}, {}), json.loads(made_with))
    if why is not None:
        return f"{socket.gethostname()} has {why}"
    if not Path(folder).is_dir():
        return f"{socket.gethostname()} has no folder {folder}, expected the one of the command on every machine"
    os.chdir(folder)
    return None


def _told(answer: bytes) -> list[Message]:
    """The messages of a task. MotionError where a machine cannot do it."""
    told = json.loads(answer)
    if isinstance(told, dict):
        raise MotionError(f"--engine ray: {told['unfit']}")
    return told
