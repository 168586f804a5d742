"""What the names in a pickle stand for: arrays, scalars and containers, each built here from checked plain values.

Layouts: NumPy's `ndarray.__reduce__`, joblib's `NumpyArrayWrapper` (array bytes inline behind the object), torch's
storages (the legacy stream of `torch.save`), chumpy's `Ch` and `Select`, SciPy's compressed sparse matrices.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

import numpy as np

from morphloop.base.opening import check_characters

from ..reading_limits import MAX_SPARSE, MAX_SPARSE_SIDE
from .pickle_machine import Machine, Pending, Table

Call = Callable[..., Any]
_DTYPE = re.compile(r"[biuf][1248]|[SUa][1-9]\d{0,5}|O8?")
TORCH_MAGIC = 0x1950A86A20F9469CFC6C
TORCH_PROTOCOL = 1001
TORCH_STORAGES = {
    "DoubleStorage": "f8",
    "FloatStorage": "f4",
    "HalfStorage": "f2",
    "LongStorage": "i8",
    "IntStorage": "i4",
    "ShortStorage": "i2",
    "CharStorage": "i1",
    "ByteStorage": "u1",
    "BoolStorage": "b1",
}


def _bytes(machine: Machine, value: Any) -> memoryview:
    """Array content: bytes, or a text of Python 2 whose characters are the bytes."""
    if isinstance(value, str):
        machine.spend(len(value))
        return memoryview(value.encode("latin-1"))
    if isinstance(value, memoryview):
        return value
    raise machine.refuse(f"array content of type {type(value).__name__}, expected bytes")


def _shape(machine: Machine, shape: Any) -> tuple[tuple[int, ...], int]:
    """A shape and its number of elements."""
    sizes = (shape,) if isinstance(shape, int) else shape
    if not isinstance(sizes, (tuple, list)) or len(sizes) > 16:
        raise machine.refuse(f"array shape {str(shape)[:60]}, expected up to 16 sizes")
    plain = tuple(int(size) for size in sizes if isinstance(size, (int, np.integer)) and 0 <= size < 1 << 40)
    if len(plain) != len(sizes):
        raise machine.refuse("array shape with a size that is not a count")
    return plain, math.prod(plain)


def _array(machine: Machine, content: Any, dtype: Any, shape: Any, fortran: bool) -> np.ndarray:
    """An array from its bytes, or from the list of its objects; what it announces must be there."""
    if not isinstance(dtype, np.dtype):
        raise machine.refuse("an array without a dtype")
    sizes, count = _shape(machine, shape)
    if dtype.hasobject:
        if not isinstance(content, list) or len(content) != count:
            raise machine.refuse(f"array {sizes} of objects announces more than the file holds")
        machine.spend(8 * count)
        flat = np.empty(count, dtype=object)
        for k, item in enumerate(content):
            flat[k] = item
    else:
        raw = _bytes(machine, content)
        if len(raw) != count * dtype.itemsize:
            raise machine.refuse(f"array {sizes} of {dtype} announces {count * dtype.itemsize} bytes, holds {len(raw)}")
        check_characters(raw, dtype, machine.where)
        flat = np.frombuffer(raw, dtype=dtype, count=count) if count else np.zeros(0, dtype)
    return flat.reshape(sizes[::-1]).T if fortran else flat.reshape(sizes)


def _reconstruct(machine: Machine, *_: Any) -> Pending:
    def finish(machine: Machine, state: Any) -> np.ndarray:
        _version, shape, dtype, fortran, content = state if len(state) == 5 else (1, *state)
        return _array(machine, content, dtype, shape, bool(fortran))

    return Pending(finish)


def _dtype(machine: Machine, code: Any, *_: Any) -> Pending:
    if isinstance(code, memoryview):
        code = str(bytes(code), "latin-1")
    if not isinstance(code, str) or not _DTYPE.fullmatch(code):
        raise machine.refuse(f"array of type '{str(code)[:40]}', expected numbers, texts or objects")

    def finish(machine: Machine, state: Any) -> np.dtype:
        if not isinstance(state, tuple) or len(state) < 5 or any(part is not None for part in state[2:5]):
            raise machine.refuse("array type with fields, expected numbers, texts or objects")
        order = str(bytes(state[1]), "latin-1") if isinstance(state[1], memoryview) else state[1]
        dtype = np.dtype(code)
        return dtype.newbyteorder(order) if order in ("<", ">") else dtype

    return Pending(finish)


def _scalar(machine: Machine, dtype: Any, content: Any = b"") -> Any:
    if isinstance(dtype, np.dtype) and dtype.hasobject:
        return content
    return _array(machine, content, dtype, (), False)[()]


def _frombuffer(machine: Machine, content: Any, dtype: Any, shape: Any, order: Any) -> np.ndarray:
    return _array(machine, content, dtype, shape, order == "F")


def _encode(machine: Machine, text: Any, encoding: Any = "latin-1") -> memoryview:
    if not isinstance(text, str) or encoding not in ("latin-1", "latin1"):
        raise machine.refuse("bytes in an encoding other than Latin-1")
    machine.spend(len(text))
    return memoryview(text.encode("latin-1"))


def _mapping(machine: Machine, *arguments: Any) -> dict[Any, Any]:
    """OrderedDict and defaultdict as dict; pairs may come as the only argument, a factory is dropped."""
    pairs = arguments[0] if len(arguments) == 1 and isinstance(arguments[0], list) else []
    return {machine.key(pair[0]): pair[1] for pair in pairs}


def _joblib_wrapper(machine: Machine, *_: Any) -> Pending:
    def finish(machine: Machine, state: Any) -> np.ndarray:
        dtype, shape, order = state["dtype"], state["shape"], state["order"]
        if not isinstance(dtype, np.dtype):
            raise machine.refuse("an array without a dtype")
        if dtype.hasobject:
            return machine.nested()
        if state.get("numpy_array_alignment_bytes") is not None:
            machine.take(machine.number("<B"))
        content = machine.take(_shape(machine, shape)[1] * dtype.itemsize)
        return _array(machine, content, dtype, shape, order == "F")

    return Pending(finish)


def _rebuild_object(machine: Machine, name: Any, *_: Any) -> Any:
    """Python 2's way to make an object before its state: `copy_reg._reconstructor(class, object, None)`."""
    made = machine.table.calls.get((name.module, name.name))
    if made is None:
        raise machine.refuse(f"calls '{name}', which is never run: expected arrays and plain containers")
    return made(machine)


# torch


def _load_storage(machine: Machine, content: Any) -> np.ndarray:
    """The storage in bytes of `torch.save`'s legacy stream: four pickles, the keys, then a count and the elements."""
    if machine.depth:
        raise machine.refuse("torch storages nested in storages")
    stored: dict[str, str] = {}

    def storage(key: Any) -> str:
        # ('storage', class, key, device, elements, view)
        stored[str(key[2])] = TORCH_STORAGES[key[1].name]
        return str(key[2])

    inner = Machine(_bytes(machine, content), Table(CALLS, NAMES, storage), machine.where, depth=1)
    if inner.run() != TORCH_MAGIC or inner.run() != TORCH_PROTOCOL:
        raise machine.refuse("torch tensor in a stream that is not torch's legacy one")
    inner.run()
    key, keys = inner.run(), inner.run()
    if keys != [key] or key not in stored:
        raise machine.refuse("torch tensor whose storage is missing")
    count = inner.number("<q")
    dtype = np.dtype("<" + stored[key])
    return _array(machine, inner.take(max(count, 0) * dtype.itemsize), dtype, (max(count, 0),), False)


def _rebuild_tensor(machine: Machine, storage: Any, offset: Any, size: Any, stride: Any, *_: Any) -> np.ndarray:
    sizes, count = _shape(machine, size)
    strides, _product = _shape(machine, stride)
    first = int(offset)
    if not isinstance(storage, np.ndarray) or len(strides) != len(sizes) or first < 0 or count > storage.size:
        raise machine.refuse("torch tensor larger than its storage")
    last = first + sum((n - 1) * step for n, step in zip(sizes, strides, strict=True))
    if count == 0:
        return np.zeros(sizes, storage.dtype)
    if last >= storage.size:
        raise machine.refuse("torch tensor larger than its storage")
    machine.spend(count * storage.itemsize)
    steps = tuple(step * storage.itemsize for step in strides)
    return np.lib.stride_tricks.as_strided(storage[first:], sizes, steps, writeable=False).copy()


# SMPL model files


def _chumpy(machine: Machine, *_: Any) -> Pending:
    def finish(machine: Machine, state: Any) -> np.ndarray:
        if not isinstance(state.get("x"), np.ndarray):
            raise machine.refuse("chumpy array without its values")
        machine.spend(8 * state["x"].size)
        return np.asarray(state["x"], dtype=float)

    return Pending(finish)


def _chumpy_select(machine: Machine, *_: Any) -> Pending:
    """`Select`: elements `idxs` of the flattened array `a` in `preferred_shape`."""

    def finish(machine: Machine, state: Any) -> np.ndarray:
        whole, places = state["a"], state["idxs"]
        if not all(isinstance(part, np.ndarray) and part.dtype.kind in "iuf" for part in (whole, places)):
            raise machine.refuse("chumpy selection without its values and places")
        machine.spend(8 * (whole.size + 2 * places.size))
        chosen = whole.astype(float).ravel()[places.astype(np.int64)]
        return chosen.reshape(state.get("preferred_shape", chosen.shape))

    return Pending(finish)


def _sparse(by_column: bool) -> Call:
    def make(machine: Machine, *_: Any) -> Pending:
        return Pending(finish)

    def finish(machine: Machine, state: Any) -> np.ndarray:
        (rows, columns), entries = _shape(machine, state.get("_shape", state.get("shape")))
        if entries > MAX_SPARSE or max(rows, columns) > MAX_SPARSE_SIDE:
            raise machine.refuse(f"sparse matrix {rows} x {columns}, expected at most {MAX_SPARSE} entries")
        data, indices, starts = (np.asarray(state[part]) for part in ("data", "indices", "indptr"))
        majors = columns if by_column else rows
        counts = np.diff(starts)
        if counts.shape != (majors,) or (counts < 0).any() or int(counts.sum()) != len(data):
            raise machine.refuse(f"sparse matrix {rows} x {columns} whose rows do not fit its {len(data)} numbers")
        machine.spend(8 * (entries + majors + len(data)))
        major = np.repeat(np.arange(majors), counts)
        dense = np.zeros((columns, rows) if by_column else (rows, columns))
        np.add.at(dense, (major, indices), data)
        return dense.T if by_column else dense

    return make


def _for_modules(modules: tuple[str, ...], calls: dict[str, Call]) -> dict[tuple[str, str], Call]:
    return {(module, name): call for module in modules for name, call in calls.items()}


CALLS: dict[tuple[str, str], Call] = {
    **_for_modules(
        ("numpy.core.multiarray", "numpy._core.multiarray"), {"_reconstruct": _reconstruct, "scalar": _scalar}
    ),
    **_for_modules(("numpy.core.numeric", "numpy._core.numeric"), {"_frombuffer": _frombuffer}),
    ("numpy", "dtype"): _dtype,
    ("_codecs", "encode"): _encode,
    ("__builtin__", "bytes"): lambda machine: memoryview(b""),
    ("collections", "OrderedDict"): _mapping,
    ("collections", "defaultdict"): _mapping,
    ("joblib.numpy_pickle", "NumpyArrayWrapper"): _joblib_wrapper,
    ("copy_reg", "_reconstructor"): _rebuild_object,
    ("copyreg", "_reconstructor"): _rebuild_object,
    ("torch.storage", "_load_from_bytes"): _load_storage,
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
    ("torch._utils", "_rebuild_parameter"): lambda machine, tensor, *_: tensor,
}
"""Functions and classes that a pickle may call, and what is done instead."""
NAMES = frozenset(
    {("numpy", "ndarray"), ("numpy", "memmap"), ("numpy.core.memmap", "memmap"), ("numpy._core.memmap", "memmap")}
    | {(module, name) for module in ("builtins", "__builtin__") for name in ("object", "list", "dict", "float", "int")}
    | {("torch", name) for name in TORCH_STORAGES}
)
"""Classes that a pickle may mention as arguments."""
SMPL_CALLS: dict[tuple[str, str], Call] = {
    ("chumpy.ch", "Ch"): _chumpy,
    ("chumpy", "Ch"): _chumpy,
    ("chumpy.reordering", "Select"): _chumpy_select,
    **_for_modules(
        ("scipy.sparse.csc", "scipy.sparse._csc"), {"csc_matrix": _sparse(True), "csc_array": _sparse(True)}
    ),
    **_for_modules(
        ("scipy.sparse.csr", "scipy.sparse._csr"), {"csr_matrix": _sparse(False), "csr_array": _sparse(False)}
    ),
}
