"""Seeded damage to files: bits, lengths, numbers, headers, keys, opcodes; a mutation is a function of (rng, bytes)."""

from __future__ import annotations

import io
import json
import pickletools
import re
import struct
import warnings
import zipfile
import zlib
from tokenize import TokenError

import numpy as np

SPECIAL = (
    "nan",
    "inf",
    "-inf",
    "1e308",
    "-1e308",
    "1e999",
    "-1",
    "0",
    "-0.0",
    "1e-320",
    "99999999999999999999",
    "",
    "x",
)
SPECIAL_FLOATS = (np.nan, np.inf, -np.inf, 1e308, -1.0, 0.0, 1e-320, 1e30)
SHAPES = (
    "(1000000000000,)",
    "(99999999, 22, 3)",
    "(-1, 3)",
    "(0, 0)",
    "()",
    "(2147483648, 2)",
    "(1, 1, 1, 1, 1)",
    "(True,)",
)
DTYPES = ("'|O'", "'<f8'", "'<f2'", "'<c16'", "'<U9'", "'|V8'", "'<M8[s]'", "'>i8'", "'|b1'", "[('a', '<f4')]")
GADGETS = (
    b"cos\nsystem\n(S'true'\ntR.",
    b"cbuiltins\neval\n(S'1/0'\ntR.",
    b"\x80\x04\x8c\x05posix\x8c\x06system\x93\x8c\x04true\x85R.",
    b"\x80\x04\x8e" + struct.pack("<Q", 1 << 60) + b"x.",
    b"\x80\x02\x8b" + struct.pack("<i", 1 << 30) + b"\x01.",
    b"(" * 5000 + b".",
    b"\x80\x04]\x94h\x00a" + b"h\x00a" * 300 + b".",
    b"\x80\x04" + b"]\x94" * 20000 + b"a" * 19999 + b".",
)
"""Pickles that would run a program, allocate, or nest without end."""

OPCODES = bytes(ord(op.code) for op in pickletools.opcodes)


def bit_flips(rng: np.random.Generator, data: bytes) -> bytes:
    changed = bytearray(data)
    for at in rng.integers(0, len(data), int(rng.integers(1, 17))):
        changed[at] ^= 1 << int(rng.integers(8))
    return bytes(changed)


def truncation(rng: np.random.Generator, data: bytes) -> bytes:
    return data[: int(rng.integers(0, len(data)))]


def splice(rng: np.random.Generator, data: bytes) -> bytes:
    """A piece left out, doubled, zeroed, or replaced by noise."""
    start = int(rng.integers(0, len(data)))
    piece = data[start : start + int(rng.integers(1, 200))]
    end = start + len(piece)
    made = (b"", piece * 2, bytes(len(piece)), rng.bytes(len(piece)))[int(rng.integers(4))]
    return data[:start] + made + data[end:]


def numbers(rng: np.random.Generator, data: bytes) -> bytes:
    """Numbers of a text replaced by special ones."""
    text = data.decode("latin-1")
    found = list(re.finditer(r"-?\d+(\.\d+)?(e-?\d+)?", text))
    if not found:
        return bit_flips(rng, data)
    for k in sorted(rng.integers(0, len(found), int(rng.integers(1, 4))), reverse=True):
        word = SPECIAL[int(rng.integers(len(SPECIAL)))]
        text = text[: found[k].start()] + word + text[found[k].end() :]
    return text.encode("latin-1")


def lines(rng: np.random.Generator, data: bytes) -> bytes:
    """A line left out, doubled, moved, or doubled many times; in JSON that makes doubled keys."""
    rows = data.split(b"\n")
    k, kind = int(rng.integers(len(rows))), int(rng.integers(5))
    row = rows.pop(k)
    if kind == 1:
        rows[k:k] = [row, row]
    elif kind == 2:
        rows.insert(int(rng.integers(len(rows) + 1)), row)
    elif kind == 3:
        rows[k:k] = [row] * int(rng.integers(2, 3000))
    elif kind == 4:
        words = row.split()
        rng.shuffle(words)
        rows.insert(k, b" ".join(words))
    return b"\n".join(rows)


def nesting(rng: np.random.Generator, data: bytes) -> bytes:
    """Brackets without end, or a block within itself."""
    start = int(rng.integers(0, len(data)))
    piece = (b"[", b"{", b'{"Frames":', b"JOINT a\n{\n")[int(rng.integers(4))] * int(rng.integers(100, 60000))
    return data[:start] + piece + data[start:]


def npy_header(rng: np.random.Generator, data: bytes) -> bytes:
    """The header of an npy with another shape, type, order or length."""
    if data[:6] != b"\x93NUMPY" or len(data) < 12:
        return bit_flips(rng, data)
    length = struct.unpack("<H", data[8:10])[0]
    header = data[10 : 10 + length].decode("latin-1")
    kind = int(rng.integers(4))
    if kind == 0:
        header = re.sub(r"'shape': \([^)]*\)", f"'shape': {SHAPES[int(rng.integers(len(SHAPES)))]}", header)
    elif kind == 1:
        header = re.sub(r"'descr': [^,]*", f"'descr': {DTYPES[int(rng.integers(len(DTYPES)))]}", header)
    elif kind == 2:
        header = header.replace("False", ("True", "None", "1/0", "[" * 300)[int(rng.integers(4))])
    else:
        header = splice(rng, header.encode("latin-1") or b" ").decode("latin-1")
    said = len(header) if rng.random() < 0.8 else int(rng.integers(65536))
    return data[:8] + struct.pack("<H", min(said, 65535)) + header.encode("latin-1") + data[10 + length :]


def npy_values(rng: np.random.Generator, data: bytes) -> bytes:
    """Numbers of an array replaced by special ones, its frames cut or its type changed, in a file that is whole."""
    try:
        array = np.load(io.BytesIO(data), allow_pickle=False, max_header_size=1 << 20)
    except (*_UNREADABLE, SyntaxError, TokenError, MemoryError, TypeError, IndexError, AttributeError):
        return bit_flips(rng, data or b"x")
    if array.dtype.kind == "U":
        text = numbers(rng, str(array).encode()) if rng.random() < 0.5 else _json(rng, str(array))
        return _npy(np.array(text.decode("latin-1")))
    if array.dtype.kind == "f" and array.size and rng.random() < 0.7:
        array = array.copy()
        for at in rng.integers(0, array.size, int(rng.integers(1, 5))):
            with np.errstate(over="ignore"):
                array.reshape(-1)[at] = SPECIAL_FLOATS[int(rng.integers(len(SPECIAL_FLOATS)))]
        return _npy(array)
    kind = int(rng.integers(4))
    if kind == 0 and array.ndim:
        return _npy(array[: int(rng.integers(0, len(array) + 1))])
    if kind == 1:
        return _npy(array[None])
    if kind == 2 and array.dtype.kind in "iufb":
        return _npy(array.astype(("int8", "complex64", "bool", "float16", "str")[int(rng.integers(5))]))
    return _npy(np.zeros((int(rng.integers(0, 5)),) * int(rng.integers(0, 5))))


def _json(rng: np.random.Generator, text: str) -> bytes:
    """One value of a JSON object replaced by one of another kind."""
    try:
        value = json.loads(text)
        key = sorted(value)[int(rng.integers(len(value)))]
    except (ValueError, TypeError, AttributeError):
        return text.encode()
    others = (
        None,
        [],
        {},
        "x",
        -1,
        1e308,
        [[]],
        {"a": None},
        True,
        [1, "a"],
        float("nan"),
        10**400,
        ["a"] * 24,
        [0] * 24,
    )
    value[key] = others[int(rng.integers(len(others)))]
    return json.dumps(value).encode()


def _npy(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=False)
    return stream.getvalue()


BOMB_CHANCE = 0.001
BOMBS = ((3, 50_000_000), (2_000_000, 72), (2_300_000, 22, 3))
"""Shapes of arrays of 1.2 GB that pack into little."""


def bomb(rng: np.random.Generator, data: bytes) -> bytes:
    """An npz of which one array, as its header announces, unpacks to 1.2 GB of zeros."""
    shape = BOMBS[int(rng.integers(len(BOMBS)))]
    header = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    members = _members(data)
    name = members[int(rng.integers(len(members)))][0]
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for other, content in members:
            if other != name:
                archive.writestr(other, content)
        with archive.open(name, "w", force_zip64=True) as member:
            member.write(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header)
            for _ in range(8 * int(np.prod(shape)) // (1 << 20) + 1):
                member.write(bytes(1 << 20))
    return stream.getvalue()


def _members(data: bytes) -> list[tuple[str, bytes]]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return [(info.filename, archive.read(info)) for info in archive.infolist()]


def npz_member(rng: np.random.Generator, data: bytes) -> bytes:
    """One array of an npz mutated, left out, doubled or renamed."""
    try:
        members = _members(data)
    except _UNREADABLE:
        return bit_flips(rng, data)
    if not members:
        return data
    k = int(rng.integers(len(members)))
    name, content = members[k]
    kind = rng.random()
    if kind < 0.45:
        members[k] = (name, npy_values(rng, content))
    elif kind < 0.75:
        members[k] = (name, npy_header(rng, content))
    elif kind < 0.80:
        members.pop(k)
    elif kind < 0.86:
        members.append((name, npy_values(rng, content)))
    elif kind < 0.92:
        members[k] = (members[int(rng.integers(len(members)))][0], content)
    else:
        members[k] = (name, splice(rng, content) if content else b"x")
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive, warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Duplicate name")
        for name, content in members:
            archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED, 1)
    return stream.getvalue()


def opcodes(rng: np.random.Generator, data: bytes) -> bytes:
    """Bytes of a pickle replaced by opcodes, lengths made huge, a program put in."""
    kind = int(rng.integers(4))
    if kind == 0:
        gadget = GADGETS[int(rng.integers(len(GADGETS)))]
        start = int(rng.integers(0, len(data)))
        return gadget if rng.random() < 0.3 else data[:start] + gadget + data[start:]
    changed = bytearray(data)
    for at in rng.integers(0, len(data), int(rng.integers(1, 6))):
        if kind == 1:
            changed[at] = OPCODES[int(rng.integers(len(OPCODES)))]
        elif kind == 2:
            changed[at : at + 4] = struct.pack("<I", (1 << 31) - 1)
        else:
            changed[at : at + 8] = struct.pack("<d", SPECIAL_FLOATS[int(rng.integers(len(SPECIAL_FLOATS)))])
    return bytes(changed)


_UNREADABLE = (zipfile.BadZipFile, zlib.error, struct.error, ValueError, OSError, EOFError, KeyError, RuntimeError)
GENERAL = (bit_flips, truncation, splice)
BY_SUFFIX = {
    ".npz": (*GENERAL, *[npz_member] * 7),
    ".npy": (*GENERAL, *[npy_header] * 2, *[npy_values] * 4),
    ".pkl": (*GENERAL, *[opcodes] * 5),
    ".pt": (*GENERAL, *[opcodes] * 5),
    ".json": (*GENERAL, *[numbers] * 4, *[lines] * 2, nesting),
    ".csv": (*GENERAL, *[numbers] * 4, *[lines] * 2),
    ".bvh": (*GENERAL, *[numbers] * 4, *[lines] * 3, nesting),
    ".amc": (*GENERAL, *[numbers] * 4, *[lines] * 3),
    ".asf": (*GENERAL, *[numbers] * 4, *[lines] * 3),
}


def mutate(rng: np.random.Generator, data: bytes, suffix: str) -> bytes:
    """One to three mutations in a row; an object .npy is treated as the pickle that it holds."""
    if suffix == ".npz" and rng.random() < BOMB_CHANCE:
        return bomb(rng, data)
    kinds = BY_SUFFIX[".pkl" if suffix == ".npy" and b"'|O'" in data[:128] else suffix]
    for _ in range(int(rng.choice([1, 1, 2, 3]))):
        data = kinds[int(rng.integers(len(kinds)))](rng, data) or b"\0"
    return data
