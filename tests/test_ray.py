"""`--engine ray`: a cluster makes what one machine makes, a lost worker costs time, and what cannot be is one line."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from morphloop.base import MotionError, ray_cluster
from morphloop.base.pool import run_tasks
from morphloop.base.ray_cluster import TRIES
from morphloop.cli import main
from morphloop.metrics.defect_bench import bench
from morphloop.motion import make_corpus, save_clip
from morphloop.refinement_loop.timing import TIMING

Said = pytest.CaptureFixture[str]
STARTS = 3
"""A cluster gives itself half a minute to start, which a busy machine may need more than once."""
QUICK = (
    "--projection.ilqr.horizon",
    "6",
    "--projection.ilqr.iterations",
    "1",
    "--projection.ilqr.hard-iterations",
    "1",
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five clips of half a second, and a file that is none."""
    place = tmp_path_factory.mktemp("ray") / "clips"
    for k, clip in enumerate(make_corpus(5, 1)):
        save_clip(place / f"clip{k}.npz", replace(clip.slice(0, 15), name=f"clip{k}"))
    (place / "broken.npz").write_bytes(b"no motion")
    return place


@pytest.fixture
def stands_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray is there, and nobody may use it."""
    monkeypatch.setitem(sys.modules, "ray", ModuleType("ray"))


# ---------------------------------------------------------------- without a cluster


def test_without_the_package_the_extra_is_named(
    folder: Path, tmp_path: Path, capsys: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    out = str(tmp_path / "out")
    for command in (
        ["evaluate", str(folder)],
        ["project", str(folder), "--out", out],
        ["bench", "imitator", "--clips", str(folder), "--out", out],
        ["bench", "metrics"],
    ):
        assert main([*command, "--engine", "ray"]) == 2
        said = capsys.readouterr().err.splitlines()
        assert said == ["morphloop: --engine ray: ray is not installed, expected: pip install 'morphloop[cluster]'"]


@contextmanager
def listening(answer: bytes | None) -> Iterator[str]:
    """The address of a server that says so much, once; None: it says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            line, _ = server.accept()
            with line:
                line.recv(1000)
                if answer is not None:
                    line.sendall(answer)
                else:
                    line.recv(1000)  # until the other side gives up

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"127.0.0.1:{server.getsockname()[1]}"
        thread.join()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


@pytest.mark.usefixtures("stands_in")
def test_an_address_that_does_not_answer_is_one_line(
    folder: Path, capsys: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(address: str) -> str:
        assert main(["evaluate", str(folder), "--engine", "ray", "--ray-address", address]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert "--ray-address" in line
        return line

    assert "refused" in refused(f"127.0.0.1:{free_port()}")
    with listening(b"HTTP/1.1 400 Bad Request\r\n\r\n") as address:
        assert "what answers is not Ray" in refused(address)
    with listening(b"-ERR\r\n") as address:
        assert "what answers is not Ray" in refused(address)
    monkeypatch.setattr(ray_cluster, "ANSWER_S", 0.2)
    with listening(None) as address:
        assert "no answer" in refused(address)
    for wrong in ("10.0.0.1", "ray://10.0.0.1:10001", "host:", ":6379", "host:99999", "host:6379/x", "auto"):
        assert "expected HOST:PORT of the cluster's head" in refused(wrong)


def frames(*told: tuple[int, int, int, bytes]) -> bytes:
    """HTTP/2 frames, each of a kind, flags, a stream and what it holds; settings first, as every server begins."""
    return b"".join(
        len(held).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + held
        for kind, flags, stream, held in ((4, 0, 0, b""), *told)
    )


def status(code: int) -> bytes:
    """The fields of an answer of gRPC, as its libraries write them."""
    word = str(code).encode()
    return b"\x88@\x0ccontent-type\x10application/grpc@\x0bgrpc-status" + bytes((len(word),)) + word


@pytest.mark.usefixtures("stands_in")
def test_who_speaks_http2_and_is_no_ray_is_one_line(
    folder: Path, capsys: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ray, let near such an address, tries for 20 seconds and prints a line of its log a second."""
    monkeypatch.delenv("RAY_AUTH_MODE", raising=False)
    page = frames((1, 4, 1, b"\x8d"), (0, 1, 1, b"<html>not found</html>"))
    others = {"unknown method": frames((1, 5, 1, status(12))), "a page": page, "settings alone": frames()}
    others |= {"reset": frames((3, 0, 1, bytes(4))), "goes away": frames((7, 0, 0, bytes(8)))}
    for what, answer in others.items():
        began = time.monotonic()
        with listening(answer) as address:
            assert main(["evaluate", str(folder), "--engine", "ray", "--ray-address", address]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert "what answers is not Ray, expected HOST:PORT of a cluster's head" in line, what
        assert time.monotonic() - began < ray_cluster.ANSWER_S
    with listening(frames((1, 5, 1, status(16)))) as address:
        assert main(["evaluate", str(folder), "--engine", "ray", "--ray-address", address]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "the cluster wants a token, expected RAY_AUTH_MODE=token" in line


def test_a_server_that_never_ends_its_answer_is_left_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_cluster, "ANSWER_S", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as server:

        def drip() -> None:
            line, _ = server.accept()
            with line, suppress(OSError):
                while True:
                    line.sendall(frames())

        thread = threading.Thread(target=drip, daemon=True)
        thread.start()
        began = time.monotonic()
        with pytest.raises(MotionError, match="no answer"):
            ray_cluster.check_answers(f"127.0.0.1:{server.getsockname()[1]}")
        assert time.monotonic() - began < 5
        thread.join()


def test_what_ray_answers_is_taken_for_ray() -> None:
    """As version 2.60 answers: its name, and in other frames that all is well."""
    named = b"\x0a\x00\x12\x1c" + bytes(range(28))
    message = b"\x00" + len(named).to_bytes(4, "big") + named
    with listening(frames((1, 4, 1, b"\x88"), (0, 0, 1, message), (1, 5, 1, status(0)))) as address:
        ray_cluster.check_answers(address)


@pytest.mark.usefixtures("stands_in")
def test_flags_that_leave_a_cluster_without_work_are_refused(folder: Path, tmp_path: Path, capsys: Said) -> None:
    out = tmp_path / "out"
    project = ["project", str(folder), "--out", str(out), "--engine", "ray"]
    bench = ["bench", "imitator", "--clips", str(folder), "--out", str(out), "--engine", "ray"]
    refused = {
        "expected --engine ray with it": ["evaluate", str(folder), "--ray-address", "10.0.0.1:6379"],
        "expected --workers of 1 or more": ["evaluate", str(folder), "--engine", "ray", "--workers", "0"],
        "expected another --projector, or --shard i/n": [*project, "--projector", "policy"],
        "expected no --engine ray with it": [*project, "--dry-run"],
        "are tracked in this process, expected auto": [*bench, "--columns", "policy"],
    }
    for why, command in refused.items():
        assert main(command) == 2
        assert why in capsys.readouterr().err


# ---------------------------------------------------------------- on two nodes


class TwoNodes:
    """A cluster of two nodes with a core each, on this machine."""

    def __init__(self) -> None:
        from ray.cluster_utils import Cluster

        self.cluster = Cluster()
        try:
            for _ in range(2):
                self.cluster.add_node(num_cpus=1, include_dashboard=False)
        except Exception:
            self.cluster.shutdown()
            raise
        self.address = str(self.cluster.address)

    def at_work(self, nodes: list[Any] | None = None) -> list[int]:
        """Workers of these nodes, of the cluster if None, that are at a task now: children of a node's raylet."""
        nodes = self.cluster.list_all_nodes() if nodes is None else nodes
        raylets, found = {info.process.pid for node in nodes for info in node.all_processes["raylet"]}, []
        for place in Path("/proc").glob("[0-9]*"):
            try:
                name = (place / "cmdline").read_bytes()
                parent = int((place / "stat").read_text().rpartition(")")[2].split()[1])
            except (OSError, ValueError):  # it has ended
                continue
            if name.startswith(b"ray::do_task") and parent in raylets:
                found.append(int(place.name))
        return found

    @contextmanager
    def one_killed(self, when: Callable[[], bool] = lambda: True) -> Iterator[None]:
        """As soon as `when` holds a worker that is at a task is killed, once."""
        ended, killed = threading.Event(), []

        def watch() -> None:
            while not ended.is_set() and not killed:
                if when() and (pids := self.at_work()):
                    os.kill(pids[0], signal.SIGKILL)
                    killed.append(pids[0])
                time.sleep(0.01)

        thread = threading.Thread(target=watch)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()
        assert killed, "no worker was at a task"


@pytest.fixture(scope="module")
def nodes() -> Iterator[TwoNodes]:
    pytest.importorskip("ray", reason="ray is not installed (extra `cluster`)")
    started = None
    for left in reversed(range(STARTS)):
        try:
            started = TwoNodes()
            break
        except Exception:
            if not left:
                raise
    assert started is not None
    yield started
    started.cluster.shutdown()


@pytest.fixture
def ray_flags(nodes: TwoNodes) -> list[str]:
    return ["--engine", "ray", "--ray-address", nodes.address]


def files_of(place: Path) -> dict[str, bytes]:
    """Every file but for wall times."""
    found = (path for path in place.rglob("*") if path.is_file() and path.name != TIMING)
    return {str(path.relative_to(place)): path.read_bytes() for path in found}


@pytest.mark.slow
def test_a_cluster_measures_what_processes_measure(
    folder: Path, tmp_path: Path, nodes: TwoNodes, ray_flags: list[str], capsys: Said
) -> None:
    made = {}
    for name in ("processes", "ray"):
        place = tmp_path / name
        place.mkdir()
        asked = ["evaluate", str(folder), "--rank", "--json", str(place / "a.json"), "--html", str(place / "a.html")]
        asked += ["--drop", str(place / "drop.txt")]
        capsys.readouterr()
        if name == "ray":
            with nodes.one_killed():
                assert main([*asked, *ray_flags]) == 2
        else:
            assert main([*asked, "--workers", "1"]) == 2
        made[name] = files_of(place)
    said = capsys.readouterr().err
    assert "a worker was lost, what it was at is done again" in said
    assert "broken.npz" in said
    table, other = (json.loads(made[name].pop("a.json")) for name in ("processes", "ray"))
    assert (table["config"].pop("workers"), other["config"].pop("workers")) == (1, None)
    assert json.dumps(table) == json.dumps(other)
    assert made["processes"] == made["ray"]


@pytest.mark.slow
def test_a_cluster_projects_what_processes_project(
    folder: Path, tmp_path: Path, nodes: TwoNodes, ray_flags: list[str], capsys: Said
) -> None:
    asked = ["project", str(folder), "--projector", "optimiser", *QUICK, "--to", "bvh"]
    whole, ours = tmp_path / "processes", tmp_path / "ray"
    assert main([*asked, "--out", str(whole), "--workers", "1"]) == 2
    capsys.readouterr()
    with nodes.one_killed(lambda: any((ours / "records").glob("*.json"))):
        assert main([*asked, "--out", str(ours), *ray_flags]) == 2
    assert "a worker was lost, what it was at is done again" in capsys.readouterr().err
    made = files_of(whole)
    assert len([name for name in made if name.startswith("records/clip")]) >= 5
    assert files_of(ours) == made


@pytest.mark.slow
def test_a_bench_on_a_cluster_has_the_same_figures(folder: Path, tmp_path: Path, ray_flags: list[str]) -> None:
    clips = [str(folder / f"clip{k}.npz") for k in range(2)]
    asked = ["bench", "imitator", "--clips", *clips, "--columns", "auto", "--policy", "none", "--seconds", "0.5"]
    asked += ["--optimiser-seconds", "0.5", *QUICK]
    told: dict[str, Any] = {}
    for name, flags in (("here", ["--workers", "0"]), ("ray", ray_flags)):
        place = tmp_path / name
        assert main([*asked, "--out", str(place), *flags]) == 0
        rows = [json.loads(line) for line in (place / "rows.jsonl").read_text().splitlines()]
        told[name] = sorted((row["key"], json.dumps(row | {"wall_s": None})) for row in rows)
        told[name] += [(path.name, path.read_bytes()) for path in sorted((place / "optimised").glob("*.npz"))]
    assert len(told["ray"]) == 6, "a control, a row and a rollout of each of two clips"
    assert told["ray"] == told["here"]


@pytest.mark.slow
def test_the_defect_bench_on_a_cluster_has_the_same_figures(
    tmp_path: Path, ray_flags: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench, "run_bench", partial(bench.run_bench, defects=("float", "slide"), motions=("step",)))
    told = {}
    for name, flags in (("here", ["--workers", "0"]), ("processes", ["--workers", "1"]), ("ray", ray_flags)):
        table = tmp_path / f"{name}.json"
        assert main(["bench", "metrics", "--json", str(table), *flags]) == 0
        told[name] = table.read_bytes()
    assert len(json.loads(told["here"])["cases"]) > 4
    assert told["here"] == told["processes"] == told["ray"]


@pytest.mark.slow
def test_what_kills_every_worker_is_given_up_and_nothing_else(nodes: TwoNodes, capsys: Said) -> None:
    """Tasks whose keys are evaluated: three that say something, one that kills whoever does it, one that fails."""
    kill = f"__import__('os').kill(__import__('os').getpid(), {int(signal.SIGKILL)})"
    tasks = [{"{'n': 0}": 0}, {kill: 0}, {"{'n': 1}": 0, "{'n': 2}": 0}, {"1 / 0": 0}, {"{'n': 3}": 0}]
    told: dict[int, list[Any]] = {}
    with ray_cluster.ray_cluster(nodes.address):
        for number, message in run_tasks(partial(map, eval), tasks, 2):
            told.setdefault(number, []).append(message)
    assert [told[k] for k in (0, 2, 4)] == [[{"n": 0}, None], [{"n": 1}, {"n": 2}, None], [{"n": 3}, None]]
    assert "ZeroDivisionError" in told[3][0]["died"]
    assert f"{TRIES} workers were lost with it" in told[1][0]["died"]
    assert len(told[1]) == 2
    assert capsys.readouterr().err.count("what it was at is done again") >= TRIES - 1


@pytest.mark.slow
def test_a_lost_machine_costs_time_alone(nodes: TwoNodes, capsys: Said) -> None:
    tasks = [{f"__import__('time').sleep(1) or {{'n': {k}}}": 0} for k in range(6)]
    third = nodes.cluster.add_node(num_cpus=1)
    told: list[int] = []
    with ray_cluster.ray_cluster(nodes.address):

        def lose() -> None:
            while not nodes.at_work([third]) and len(told) < len(tasks):
                time.sleep(0.01)
            third.kill_all_processes(check_alive=False, allow_graceful=False, wait=True)

        thread = threading.Thread(target=lose, daemon=True)
        thread.start()
        for _, message in run_tasks(partial(map, eval), tasks, 3):
            if message is not None:
                told.append(message["n"])
        thread.join()
    nodes.cluster.worker_nodes.discard(third)
    assert sorted(told) == list(range(6))
    assert "what it was at is done again" in capsys.readouterr().err


@pytest.mark.slow
def test_a_machine_that_would_make_other_results_ends_the_run(nodes: TwoNodes, monkeypatch: pytest.MonkeyPatch) -> None:
    made = ray_cluster.basis(ray_cluster.CODE, {}, {})
    other = made | {"versions": made["versions"] | {"mujoco": "2.0"}}
    with ray_cluster.ray_cluster(nodes.address):
        with monkeypatch.context() as changed:
            changed.setattr(ray_cluster, "basis", lambda *_: other)
            with pytest.raises(MotionError, match=r"has versions.mujoco = 3\S*, asked for 2.0"):
                list(run_tasks(partial(map, eval), [{"1": 0}], 1))
        monkeypatch.setattr(ray_cluster.os, "getcwd", lambda: "/no/such/folder")
        with pytest.raises(MotionError, match=r"has no folder /no/such/folder"):
            list(run_tasks(partial(map, eval), [{"1": 0}], 1))


@pytest.mark.slow
def test_without_an_address_a_cluster_is_started_and_ended(folder: Path, tmp_path: Path) -> None:
    ray = pytest.importorskip("ray", reason="ray is not installed (extra `cluster`)")
    table = tmp_path / "table.json"
    clips = [str(folder / f"clip{k}.npz") for k in range(2)]
    assert main(["evaluate", *clips, "--engine", "ray", "--workers", "1", "--json", str(table)]) == 0
    assert [row["name"] for row in json.loads(table.read_text())["clips"]] == ["clip0", "clip1"]
    assert not ray.is_initialized()
