"""A headless chromium that a program drives: it opens pages, clicks, waits, reads what they say and takes pictures.

Speaks the DevTools protocol (https://chromedevtools.github.io/devtools-protocol/) over two pipes, so that nothing but
the browser is needed. WebGL is drawn in software: figures of speed are those of the processor.
"""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from fcntl import F_DUPFD_CLOEXEC, fcntl
from pathlib import Path
from typing import Any

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--headless=new",
    "--no-sandbox",  # root has none, and the pages are our own
    "--disable-dev-shm-usage",  # containers have 64 MB of it
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--hide-scrollbars",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-extensions",
    "--remote-debugging-pipe",
)
PATIENCE_S = 180.0
"""How long an answer or a condition is waited for: a busy machine of two cores starts a browser in half a minute."""
LOOK_S = 0.05
KEY_CODES = {" ": 32, "ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40}


def find_chromium() -> str | None:
    """The path of the browser, None where there is none."""
    return next((found for found in map(shutil.which, PROGRAMS) if found), None)


class Browser:
    """A browser that runs while the `with` block does. program: its path; folder: for its profile and what it logs."""

    def __init__(self, program: str, folder: Path):
        to_read, to_write = _pipe(), _pipe()
        self._out, self._in = to_read[1], to_write[0]
        log = str(folder / "log.txt")
        actions: list[Any] = [
            (os.POSIX_SPAWN_DUP2, to_read[0], 3),
            (os.POSIX_SPAWN_DUP2, to_write[1], 4),
            (os.POSIX_SPAWN_OPEN, 1, log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        ]
        words = [program, *FLAGS, f"--user-data-dir={folder / 'profile'}", "about:blank"]
        self._process = os.posix_spawn(program, words, os.environ, file_actions=actions, setpgroup=0)
        os.close(to_read[0])
        os.close(to_write[1])
        self._rest = b""
        self._count = 0
        self._pages: dict[str, Page] = {}

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, *_: object) -> None:
        os.killpg(self._process, signal.SIGKILL)
        os.waitpid(self._process, 0)
        os.close(self._out)
        os.close(self._in)

    @contextmanager
    def page(self, address: str, width: int = 1366, height: int = 768, dots: float = 1.0) -> Iterator[Page]:
        """A page in a window of its own, loaded; it is closed with the block. width, height: in CSS pixels; dots: of
        the screen to one of them. What it puts on the console and asks for is kept from the beginning."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        page = self._pages[session] = Page(self, session)
        for part in ("Page", "Runtime", "Log", "Network"):
            page.call(f"{part}.enable")
        size = {"width": width, "height": height, "deviceScaleFactor": dots, "mobile": False}
        page.call("Emulation.setDeviceMetricsOverride", **size)
        try:
            failed = page.call("Page.navigate", url=address).get("errorText")
            if failed:
                raise RuntimeError(f"{address}: {failed}")
            page.wait_for("document.readyState === 'complete' && location.href !== 'about:blank'")
            yield page
        finally:
            del self._pages[session]
            self.call("Target.closeTarget", targetId=target)

    def processor_s(self) -> float:
        """Seconds of a processor that all of its processes have used."""
        found = 0
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                told = stat.read_text().rpartition(")")[2].split()
            except (FileNotFoundError, ProcessLookupError):  # ended meanwhile
                continue
            if int(told[2]) == self._process:
                found += int(told[11]) + int(told[12])
        return found / os.sysconf("SC_CLK_TCK")

    def call(self, method: str, session: str | None = None, **params: Any) -> dict[str, Any]:
        """What the browser answers. RuntimeError if it refuses, ends or says nothing for `PATIENCE_S`."""
        self._count += 1
        asked: dict[str, Any] = {"id": self._count, "method": method, "params": params}
        if session:
            asked["sessionId"] = session
        rest = json.dumps(asked).encode() + b"\0"
        while rest:
            rest = rest[os.write(self._out, rest) :]
        deadline = time.monotonic() + PATIENCE_S
        while True:
            told = self._next(deadline, method)
            if told.get("id") == self._count:
                if "error" in told:
                    raise RuntimeError(f"{method}: {told['error']['message']}")
                return told["result"]
            page = self._pages.get(told.get("sessionId", ""))
            if page is not None and "method" in told:
                page.heard(told["method"], told["params"])

    def _next(self, deadline: float, waiting_for: str) -> dict[str, Any]:
        """The next message of the browser."""
        while b"\0" not in self._rest:
            if not select.select([self._in], [], [], max(0.0, deadline - time.monotonic()))[0]:
                raise RuntimeError(f"{waiting_for}: the browser has not answered for {PATIENCE_S:.0f} s")
            more = os.read(self._in, 1 << 20)
            if not more:
                raise RuntimeError(f"{waiting_for}: the browser has ended")
            self._rest += more
        message, _, self._rest = self._rest.partition(b"\0")
        return json.loads(message)


class Page:
    """A page that is open. errors: what went wrong in it, a line each; asked_for: the addresses that it loaded."""

    def __init__(self, browser: Browser, session: str):
        self._browser, self._session = browser, session
        self.errors: list[str] = []
        self.asked_for: list[str] = []

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        return self._browser.call(method, self._session, **params)

    def heard(self, method: str, params: dict[str, Any]) -> None:
        """Takes an event of the browser."""
        if method == "Runtime.exceptionThrown":
            details = params["exceptionDetails"]
            self.errors.append(details.get("exception", {}).get("description") or details["text"])
        elif method == "Runtime.consoleAPICalled" and params["type"] in ("error", "assert"):
            self.errors.append(" ".join(str(arg.get("value", arg.get("description"))) for arg in params["args"]))
        elif method == "Log.entryAdded" and params["entry"]["level"] == "error":
            self.errors.append(params["entry"]["text"])
        elif method == "Network.requestWillBeSent":
            self.asked_for.append(params["request"]["url"])

    def ask(self, expression: str) -> Any:
        """The value of a JavaScript expression, waited for if it is a promise. RuntimeError if it throws."""
        found = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in found:
            raise RuntimeError(f"{expression}: {found['result'].get('description')}")
        return found["result"].get("value")

    def wait_for(self, condition: str) -> Any:
        """The value of an expression as soon as it is true. TimeoutError after `PATIENCE_S`, with the page's errors."""
        deadline = time.monotonic() + PATIENCE_S
        while not (value := self.ask(condition)):
            if time.monotonic() > deadline:
                raise TimeoutError(f"never true: {condition}; errors of the page: {self.errors}")
            time.sleep(LOOK_S)
        return value

    def press(self, key: str) -> None:
        """A key, down and up: a letter, digit, space or arrow."""
        for kind in ("keyDown", "keyUp"):
            text = {"text": key} if kind == "keyDown" and len(key) == 1 else {}
            code = KEY_CODES.get(key, ord(key[0].upper()))
            self.call("Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=code, **text)

    def click(self, selector: str, across: float = 0.5) -> None:
        """A click on what a CSS selector finds, at this share of its width."""
        box = self.ask(f"document.querySelector({json.dumps(selector)}).getBoundingClientRect().toJSON()")
        at = {"x": box["x"] + across * box["width"], "y": box["y"] + 0.5 * box["height"]}
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, button="left", clickCount=1, **at)

    def picture(self, kind: str = "png", **how: Any) -> bytes:
        """A PNG or JPEG of what the window shows."""
        return base64.b64decode(self.call("Page.captureScreenshot", format=kind, **how)["data"])

    def cut_off(self) -> None:
        """No network from here on."""
        self.call("Network.emulateNetworkConditions", offline=True, latency=0, downloadThroughput=0, uploadThroughput=0)


def _pipe() -> tuple[int, int]:
    """A pipe, read and written end, above the numbers that the browser takes."""
    ends = []
    for end in os.pipe():
        ends.append(fcntl(end, F_DUPFD_CLOEXEC, 10))
        os.close(end)
    return ends[0], ends[1]
