"""Small files that mean harm: each a kind that once ended a batch, took gigabytes, or hung. Nothing is executed.

`make_hostile(folder)` writes them; a reader must refuse each in one line (or take it whole), like a damaged file.
"""

from __future__ import annotations

import bz2
import io
import json
import pickle
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

BVH = (
    "HIERARCHY\nROOT hips\n{\nOFFSET 0 0 0\nCHANNELS 6 Xposition Yposition Zposition Zrotation Xrotation Yrotation\n"
    "End Site\n{\nOFFSET 0 1 0\n}\n}\nMOTION\nFrames: 2\nFrame Time: 0.03\n"
)
ROW = "0 0 0 0 0 0\n"
QUATERNIONS = np.tile(np.array([0.0, 0.0, 0.0, 1.0]), (20, 24, 1))


def npy(array: np.ndarray) -> bytes:
    """The bytes of an npy file."""
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=False)
    return stream.getvalue()


def header(descr: str, shape: tuple[int, ...]) -> bytes:
    """The header of an npy file alone."""
    text = f"{{'descr': {descr!r}, 'fortran_order': False, 'shape': {shape}, }}".encode() + b" " * 20 + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


def npz(path: Path, members: dict[str, bytes | tuple[bytes, int]]) -> None:
    """An archive of members: bytes, or a header and a number of zero bytes behind it."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            with archive.open(f"{name}.npy", "w") as stream:
                head, zeros = content if isinstance(content, tuple) else (content, 0)
                stream.write(head)
                for start in range(0, zeros, 1 << 20):
                    stream.write(bytes(min(1 << 20, zeros - start)))


def clip(path: Path, meta: dict[str, Any] | str | None = None, joints: int = 1) -> None:
    """A clip file whose meta is changed, or is this text."""
    names = [f"j{k}" for k in range(joints)]
    plain = {"schema": 1, "kind": "clip", "fps": 30.0, "joints": names, "parents": list(range(-1, joints - 1))}
    text = meta if isinstance(meta, str) else json.dumps(plain | (meta or {}))
    rotations = np.tile(np.array([1.0, 0.0, 0.0, 0.0], np.float32), (3, joints, 1))
    arrays = {"offsets": np.zeros((joints, 3)), "root_pos": np.zeros((3, 3), np.float32), "rotations": rotations}
    npz(path, {"meta": npy(np.array(text))} | {name: npy(array) for name, array in arrays.items()})


def lying_bzip2(path: Path) -> None:
    """A member packed by bzip2 that unpacks to 64 MiB and tells of 58 kB."""
    packer = bz2.BZ2Compressor()
    packed = b"".join([packer.compress(header("<f8", (100, 72))), *(packer.compress(bytes(1 << 24)) for _ in range(4))])
    packed += packer.flush()
    name, claim = b"poses.npy", 57_700
    sizes = (0, len(packed), claim, len(name))
    local = struct.pack("<IHHHHHIIIHH", 0x04034B50, 46, 0, 12, 0, 0x21, *sizes, 0) + name
    entry = struct.pack("<IHHHHHHIIIHHHHHII", 0x02014B50, 63, 63, 0, 12, 0, 0x21, *sizes, 0, 0, 0, 0, 0, 0) + name
    end = struct.pack("<IHHHHIIH", 0x06054B50, 0, 0, 1, 1, len(entry), len(local) + len(packed), 0)
    path.write_bytes(local + packed + entry + end)


def many_members(path: Path) -> None:
    """An archive of 20,000 names for nothing."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("joints.npy", npy(np.zeros((30, 22, 3), np.float32)))
        for k in range(20_000):
            archive.writestr(f"a{k}.npy", b"")


def laughs() -> bytes:
    """A pickle of 300 bytes that unfolds to 10^10 numbers."""
    text = (
        b"\x80\x04}(" + _text("trans") + b"](" + b"](K\x00K\x00K\x00e" + b"e" + _text("fps") + b"K\x1e" + _text("poses")
    )
    text += b"](" + b"K\x01" * 10 + b"e" + b"q\x00"
    for k in range(1, 10):
        text += b"0](" + bytes([0x68, k - 1]) * 10 + b"eq" + bytes([k])
    return text + b"u."


def encode_bomb() -> bytes:
    """A pickle of a megabyte whose calls make 4 GB."""
    start = (
        b"\x80\x04c_codecs\nencode\nq\x000" + _text("a" * (1 << 20)) + b"q\x010" + _text("latin1") + b"q\x020](" + b""
    )
    return start + b"h\x00h\x01h\x02\x86R" * 4_000 + b"e."


def sparse(rows: int, columns: int) -> bytes:
    """A SMPL pickle whose regressor is a sparse matrix of that size, without an entry."""
    state = {"_shape": (rows, columns), "data": np.zeros(0), "indices": np.zeros(0, int), "indptr": np.zeros(1, int)}
    pieces = pickle.dumps(state, 2)[2:-1]
    return b"\x80\x02}" + _text("J_regressor") + b"cscipy.sparse.csc\ncsc_matrix\n)\x81" + pieces + b"bs."


def _text(text: str) -> bytes:
    data = text.encode("utf-8", "surrogatepass")
    return b"X" + struct.pack("<I", len(data)) + data


def _itself() -> bytes:
    """A pickle of a list that holds itself."""
    return b"\x80\x04}(" + _text("trans") + b"]q\x00h\x00a" + _text("poses") + b"]" + b"u."


def make_hostile(folder: Path) -> dict[str, Path]:
    """Write every file; by kind, its path. A `.smpl.pkl` is for the reader of SMPL models."""
    joints, rate = npy(np.zeros((30, 22, 3), np.float32)), npy(np.array(30.0))
    npz(folder / "bytes_become_doubles.npz", {"poses": (header("|i1", (1_000_000, 72)), 72_000_000), "trans": joints})
    npz(folder / "frames_of_joints.npz", {"joints": (header("|i1", (600_000, 22, 3)), 39_600_000), "fps": rate})
    npz(folder / "texts.npz", {"joints": joints, "fps": rate, "texts": (header("<U1", (2_000_000,)), 8_000_000)})
    npz(folder / "texts_of_no_letters.npz", {"joints": joints, "fps": rate, "texts": header("<U0", (10**10,))})
    beyond = header("<U1", (1,)) + b"\xf8\xff\xff\x7f"
    npz(folder / "texts_beyond_unicode.npz", {"joints": joints, "fps": rate, "texts": beyond})
    npz(folder / "voids.npz", {"joints": header("|V0", (10**12, 22, 3)), "fps": rate})
    npz(folder / "rate_of_a_century.npz", {"joints": joints, "fps": npy(np.array(1e-9))})
    npz(folder / "rate_denormal.npz", {"joints": joints, "fps": npy(np.array(1e-300))})
    lying_bzip2(folder / "bzip2.npz")
    many_members(folder / "members.npz")
    clip(folder / "meta_nested.npz", "[" * 1_000_000)
    nested = '{"schema":1,"kind":"clip","fps":30,"joints":["a"],"parents":[-1],"provenance":' + '{"notes":' * 100_000
    clip(folder / "meta_nested_objects.npz", nested)
    clip(folder / "provenance_list.npz", {"provenance": [1, 2]})
    clip(folder / "provenance_types.npz", {"provenance": {"models": 3, "prompt": ["a"]}})
    clip(folder / "texts_number.npz", {"texts": 5})
    clip(folder / "name_surrogate.npz", {"joints": ["a\ud800b"]})
    clip(folder / "texts_surrogate.npz", {"texts": ["a\ud800b"], "name": "c\udcff"})
    clip(folder / "fps_text.npz", {"fps": "1e400"})
    clip(folder / "chain.npz", joints=5_000)
    (folder / "encode.pkl").write_bytes(encode_bomb())
    (folder / "laughs.pkl").write_bytes(laughs())
    (folder / "itself.pkl").write_bytes(_itself())
    (folder / "lines.pkl").write_bytes(b"\x80\x02" + b"I1\n0" * 500_000 + b"N.")
    held = {"a\ud800b": {"pose_quat_global": QUATERNIONS, "root_trans_offset": np.zeros((20, 3)), "fps": 30}}
    (folder / "key_surrogate.pkl").write_bytes(pickle.dumps(held, 4))
    (folder / "tall.smpl.pkl").write_bytes(sparse(10**12, 0))
    (folder / "wide.smpl.pkl").write_bytes(sparse(0, 5 * 10**8))
    (folder / "frame_time_denormal.bvh").write_text(BVH.replace("0.03", "1e-320") + 2 * ROW)
    (folder / "lines.bvh").write_text(BVH + "0\n" * 12_000_000)
    (folder / "one_row.bvh").write_text(BVH + "0 " * 12_000_000)
    (folder / "utf16.bvh").write_bytes((BVH + 2 * ROW).encode("utf-16"))
    (folder / "brackets.json").write_text('{"Frames":' + "[" * 1_000_000)
    (folder / "lists.json").write_text('{"Loop":"wrap","Frames":[' + "[]," * 12_000_000 + "[]]}")
    _acclaim(folder)
    return {path.name: path for path in sorted(folder.iterdir()) if path.suffix != ".asf"}


def _acclaim(folder: Path) -> None:
    """A skeleton of 20,000 bones, and a trial with more lines than any."""
    head = ":units\n length 0.45\n angle deg\n:root\n order TX TY TZ RX RY RZ\n axis XYZ\n position 0 0 0\n:bonedata\n"
    bone = " begin\n name {}\n direction 0 1 0\n length 1\n axis 0 0 0 XYZ\n dof rx\n end\n"
    for stem, count in (("bones", 20_000), ("trial", 1)):
        names = [f"b{k}" for k in range(count)]
        tail = f":hierarchy\n begin\n root {' '.join(names)}\n end\n"
        (folder / f"{stem}.asf").write_text(head + "".join(bone.format(name) for name in names) + tail)
    (folder / "bones.amc").write_text("1\nroot 0 0 0 0 0 0\n")
    (folder / "trial.amc").write_text("1\nroot 0 0 0 0 0 0\nb0 0\n" * 1_000_000)
