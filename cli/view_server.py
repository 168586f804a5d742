"""The page of `morphloop view` on loopback: clips are read when they are looked at, figures measured meanwhile."""

from __future__ import annotations

import json
import os
import sys
import threading
import webbrowser
from collections.abc import Sequence
from functools import lru_cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from morphloop.base import MotionError
from morphloop.base.terminal import complain, say
from morphloop.metrics.viewer.entries import Bodies, Entry
from morphloop.metrics.viewer.page import row_of, viewer_html
from morphloop.metrics.viewer.scene import clip_scene, key_figures
from morphloop.motion.config import ReadingConfig

from .console import one_line

HOST = "127.0.0.1"
TRIES = 50
"""Ports that are tried after a busy one."""
CACHED = 64
"""Clips that are kept ready."""


class Viewer:
    """What the page asks for. Figures of clips without a record are measured by one thread, in the list's order."""

    def __init__(self, title: str, entries: Sequence[Entry], bodies: Bodies, how: ReadingConfig):
        self.title, self.entries, self.bodies, self.how = title, entries, bodies, how
        self.measured: dict[int, dict[str, Any]] = {}
        self.done = False
        self._lock = threading.Lock()
        self.scene = lru_cache(CACHED)(self._scene)

    def page(self) -> str:
        rows = [row_of(entry, entry.metrics or None) for entry in self.entries]
        return viewer_html(self.title, self.told, rows, served=True)

    @property
    def told(self) -> str:
        """A line about how far measuring is."""
        count = len(self.entries)
        return f"{count} clips" if self.done else f"{count} clips, {len(self.measured)} measured"

    def rows(self) -> dict[str, Any]:
        """Rows that were measured, by number."""
        return {"rows": dict(self.measured), "told": self.told, "done": self.done}

    def _scene(self, number: int) -> dict[str, Any]:
        """MotionError for a clip that cannot be shown."""
        with self._lock:
            scene = clip_scene(self.entries[number], self.bodies, self.how)
        return {"clip": scene.clip, "bodies": scene.bodies}

    def measure(self, stop: threading.Event) -> None:
        """Measure every clip that has no record, until told to stop."""
        for number, entry in enumerate(self.entries):
            if stop.is_set():
                return
            try:
                with self._lock:
                    self.measured[number] = row_of(entry, key_figures(entry, self.bodies, self.how))
            except (MotionError, OSError) as error:
                self.measured[number] = row_of(entry, None, one_line(str(error)))
            except Exception as error:  # the others are measured
                self.measured[number] = row_of(entry, None, _fault(error))
        self.done = True


def serve(title: str, entries: Sequence[Entry], bodies: Bodies, how: ReadingConfig, port: int, browser: bool) -> None:
    """Serve the page until Ctrl-C. MotionError where no port is free."""
    viewer = Viewer(title, entries, bodies, how)
    server, stop = listening(viewer, port), threading.Event()
    if server.server_port != port:
        complain(f"port {port} is busy, took {server.server_port}")
    address = f"http://{HOST}:{server.server_port}/"
    say(f"{address}  {len(entries)} clips, Ctrl-C ends it")
    sys.stdout.flush()
    worker = threading.Thread(target=viewer.measure, args=(stop,), daemon=True)
    worker.start()
    if browser and _has_display():  # beside the server: where there is none but a terminal's, it stays until it is left
        threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        say("")
    finally:
        stop.set()
        server.server_close()


def listening(viewer: Viewer, port: int) -> ThreadingHTTPServer:
    """A server on the port, or the next that is free. MotionError where none of them is."""
    for number in range(port, min(port + TRIES, 65536)):
        try:
            return _Server((HOST, number), _handler(viewer))
        except OSError:
            continue
    raise MotionError(f"--port {port}: busy, as are the {TRIES} after it, expected a free one")


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = False


def _handler(viewer: Viewer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            host = self.headers.get("Host", "").rpartition(":")[0]
            if host not in (HOST, "localhost"):  # a page elsewhere that calls itself by a name of its own
                self._send(403, "application/json", json.dumps({"error": "asked for under another name"}))
                return
            path = self.path.partition("?")[0]
            if path == "/":
                self._send(200, "text/html", viewer.page())
            elif path == "/rows":
                self._send(200, "application/json", json.dumps(viewer.rows()))
            elif (number := _number(path.removeprefix("/clip/"))) is not None and number < len(viewer.entries):
                self._clip(number)
            else:
                self._send(404, "application/json", json.dumps({"error": "no such page"}))

        def _clip(self, number: int) -> None:
            try:
                self._send(200, "application/json", json.dumps(viewer.scene(number)))
            except (MotionError, OSError) as error:
                self._send(422, "application/json", json.dumps({"error": one_line(str(error))}))
            except Exception as error:  # the page goes on with the other clips
                self._send(500, "application/json", json.dumps({"error": _fault(error)}))

        def _send(self, code: int, kind: str, text: str) -> None:
            data = text.encode("utf-8", "replace")
            try:
                self.send_response(code)
                self.send_header("Content-Type", f"{kind}; charset=utf-8")
                self.send_header("Content-Length", str(len(data)))
                self.send_header("Cache-Control", "no-store")
                self.end_headers()
                self.wfile.write(data)
            except ConnectionError:  # the browser left
                return

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing: the terminal is for what went wrong."""

    return Handler


def _number(text: str) -> int | None:
    """A clip's number; None for what is none."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None


def _fault(error: Exception) -> str:
    return f"internal fault ({type(error).__name__}: {one_line(str(error))})"


def _has_display() -> bool:
    return sys.platform in ("darwin", "win32") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
