"""The pickle reader: what it makes of every protocol, joblib and torch; that nothing in a file is ever run."""

import base64
import bz2
import collections
import pickle
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse
import torch

from morphloop.base import MotionError
from morphloop.motion.readers.pickled import read_pickle, unpickle

# joblib.dump (1.4.2) of one dictionary: arrays in C and Fortran order, an object array, texts and a number
JOBLIB = (
    r"fCQE4000000001el#B#-VQg!ZeUvDS2XJq5WnW=ol#CN<Z(?j|VlHlVZE$&CaA{*}Y-N;;5l(e&aCt#;a$$K_a$#_AWpb30lqrFfeUvDS2y=B}"
    r"V{Bn_bCiq)Zgp*Nd6bL?Ze(F{a$$Ltla!1Fb7*03Wt2+-O9O_Kj0JCUWMy)ci~&QGj0I$Ld2nTvXbOx4WOR9OWt5YYi~?pfl!=Iklv0!^O9PAn"
    r"Jd{pOPD=m(|Nlz=|Ns9>0CbdMj0$0FY;Sj8ZEaz2l!%NQZgp*Nd0%02a$$L2VQgt<Zf#|5bYEh5bY*jtOAvKp3;+NB|NsC0|NsC000000004kL"
    r"0000$002Nh004kM005vsl}!Ku000000E_`<lxPMifs}oeC};_23}_8Y0!sphlxPo(0Y;Q)5oi;P0%kariHL`kQj{o5185gcPEJby|Ns9=|NsC0"
    r"O8|6~VrUtNXc|ipbz%Yk0000000000000000000$00000008hm00000000O;m1Y0{000000E`A_Wo~3;a+Hh*Ze?|Ja$#(gj00wHbCgRSi~(<y"
    r"Xa*^Plzo&aXbETxXbnpNg_LLyXb@--XcLSAPdJo`h=-I?lqgFBi~)R<PEJlr|NsC0O8@`=|4Tn~lwxQZiD(*25OrdJ0%LA<ZE$%mUt@1_WiD-X"
    r"Y;<X1a&lpL3SV+%V{dMAbaHiLbP90*V{UbAaCr)DWMOi0VR;I10ZRadaROssV{c?-V{-~+Zewp`WeRZvSOEY40Ag_jSOx$90Bm7&X>Kub1%`13"
    r"QgH`|aR^dz2`EbeO96#(3S(|{ZE$%CWOR9OWeRZ%SONe508cn^42g(`aSc*&4k$|lSOEY40DN%|PEJlr|NsC0O8@`=|4Tn~aS&pOU2ze8aS~Vo"
    r"0001CaT7}cb76FG6k;xQb1n"
)
JOBLIB_ZLIB = (
    r"cwS{uOKaOe5cbN?C`n`2g_0I}b}xoP4><(vQs|+g4){`Eidf0(tQuL;NGpON2KQjchP`!s@89dK{~#SbOxtwW$1MBJ%s1bxYWts+!j`COx7@$M"
    r"CH8bP3KL;-j=K9bbbQb02kAUo*pcVn_yTojls(_YF<*R+c@&8lzvJs~d2B059oOecg1VkZp>76Ko?!{3>xtx%K+CYI8+wKDl!7&TPySRb=tr6d"
    r"kI=^KE$+7WIL4k;)$9^SqtV9)viz_r3LR~7-w$u?`J6|%)h`RCc|Du^-gPh+fwG;25(!%E)H%)~ODkGm4d@usqP?R1W4QlRs-oEpWuxd!9?27V"
    r"O2mx~$}`PApzO#lQM~v=Q9l2lpgiBo7g=TYP-Z<`R4cPzS$(qBa6dcLZCr~WSEd<=RK?s!U7bbL!7I(e$CTKb2+4Lq=jtyyn%zB8Y(R?1^Ibt`"
    r"Ww^OoecKIV(VwTj@^ax!I~HyjBq~l_WkRKZndKNwU{+-fhD%{n;U=aCGRK7Kgb{xSYLf=tK387w2I?DVjG=iCtuY++EM~Dam}SCz;wBtV48mVs"
    r"zzNM7PRH<srk&@ygR_4H9Vlo!yD!jL!qXhVp=+^(D|qJg)1?0!2jl`G"
)


def same(a, b) -> bool:
    if isinstance(a, torch.Tensor):
        a = a.numpy()
    if isinstance(a, dict):
        return isinstance(b, dict) and a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    if isinstance(a, (list, tuple)):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, np.ndarray) and a.dtype == object:
        return a.shape == b.shape and all(map(same, a.ravel(), b.ravel()))
    if isinstance(a, np.ndarray):
        return a.shape == b.shape and a.dtype == b.dtype and np.array_equal(a, b)
    return a == (bytes(b) if isinstance(a, bytes) else b)


VALUES = {
    "array": np.arange(12, dtype="f4").reshape(3, 4),
    "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "strided": np.arange(12.0).reshape(3, 4)[:, ::2],
    "big endian": np.arange(4, dtype=">i2"),
    "bools": np.array([True, False]),
    "empty": np.zeros((0, 3)),
    "objects": np.array([{"a": 1}, [2]], dtype=object),
    "words": np.array(["male", "é"]),
    "scalar": np.float32(2.5),
    "tensor": torch.arange(6.0).reshape(2, 3).T,
    "doubles": torch.ones(3, dtype=torch.float64),
    "ordered": collections.OrderedDict(b=1, a=2),
    "plain": [1, -2, 2.5, None, True, "text", "é\n", b"\xff\n", (1, (2,), 3, 4), 10**30, -(2**40), {3: []}],
}


@pytest.mark.parametrize("protocol", range(6))
def test_plain_values_arrays_and_tensors_in_every_protocol(protocol):
    assert same(VALUES, unpickle(pickle.dumps(VALUES, protocol), "x"))


def test_a_shared_object_stays_one():
    shared = [1]
    first, second = unpickle(pickle.dumps([shared, shared]), "x")
    assert first is second


@pytest.mark.parametrize("text", [JOBLIB, JOBLIB_ZLIB])
def test_joblib_files(tmp_path, text):
    path = tmp_path / "a.pkl"
    path.write_bytes(base64.b85decode(text))
    clip = read_pickle(path)["walk"]
    assert same(np.arange(6, dtype="f4").reshape(2, 3), clip["pose_aa"])
    assert np.array_equal(clip["f"], np.arange(4.0).reshape(2, 2))
    assert (clip["gender"], clip["fps"], clip["o"][0]) == ("neutral", 30, {"a": 1})


def test_object_npy_of_one_dictionary(tmp_path):
    np.save(tmp_path / "a.npy", np.array({"rotation": np.ones((2, 3))}, dtype=object), allow_pickle=True)
    assert same({"rotation": np.ones((2, 3))}, read_pickle(tmp_path / "a.npy"))


class Ch:
    """Stands for chumpy's, of which the file keeps module, name and state."""

    def __init__(self, x):
        self.x = x


def as_chumpy(data: bytes) -> bytes:
    """The pickle with this module's class named chumpy.ch.Ch, as SMPL's model files have it."""
    assert b"c" + __name__.encode() + b"\nCh\n" in data
    return data.replace(b"c" + __name__.encode() + b"\nCh\n", b"cchumpy.ch\nCh\n")


def test_smpl_model_files_hold_chumpy_and_sparse_matrices():
    matrix = scipy.sparse.csc_matrix(np.eye(4, 9) + np.eye(4, 9, 3))
    data = pickle.dumps({"shapedirs": Ch(np.ones((2, 3))), "J": matrix, "R": matrix.tocsr()}, 2)
    data = as_chumpy(data)
    model = unpickle(data, "x", smpl=True)
    assert same(np.ones((2, 3)), model["shapedirs"])
    assert np.allclose(model["J"], matrix.toarray())
    assert np.allclose(model["R"], matrix.toarray())
    with pytest.raises(MotionError, match=r"x: wants 'chumpy\.ch\.Ch'"):
        unpickle(data, "x")


RAN: list[str] = []


def note(word: str) -> str:
    RAN.append(word)
    return word


class Runs:
    def __reduce__(self):
        return note, ("ran",)


class Sets:
    def __setstate__(self, state):
        note("ran")

    def __getstate__(self):
        return {"a": 1}


@pytest.mark.parametrize("value", [Runs(), Sets(), Path("/tmp"), torch.nn.Linear(1, 1), note, np.random.default_rng])
@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_nothing_is_run_and_the_global_is_named(value, protocol):
    RAN.clear()
    with pytest.raises(MotionError, match=r"^x: .*never run") as caught:
        unpickle(pickle.dumps({"pose_aa": value}, protocol), "x")
    assert not RAN
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (b"", "truncated"),
        (b"\x80\x02", "truncated"),
        (b"\x80\x04\x8e" + struct.pack("<Q", 1 << 62) + b"abc.", "announces"),
        (b"\x80\x02\x8b" + struct.pack("<I", 1000) + b"\x01" * 1000 + b".", "integer"),
        (b"\x80\x02" + b"]" * 400_000 + b".", "operations"),
        (b"\x80\x02h\x07.", "reference"),
        (b"\x80\x02K\x01K\x02s.", "malformed"),
        (b"\x80\x02cos\nsystem\n.", r"os\.system"),
        (b"\x80\x02\x8f.", "not one of plain data"),
        (pickle.dumps({1.5: 1}), "key"),
        (pickle.dumps({(1, 2): 1}), "key"),
        (pickle.dumps(np.array([1j])), "type"),
        (pickle.dumps(np.zeros(2, dtype=[("a", "f4")])), "type"),
        (pickle.dumps(np.arange(100.0))[:-20], "announces|truncated|malformed"),
        (zlib.compress(b"\x80\x02." + bytes(1 << 27)), "unpacks to more"),
        (bz2.compress(b"\x80\x02K\x01.")[:-8], "truncated|damaged|malformed"),
    ],
)
def test_damaged_and_hostile_files_are_refused_in_one_line(tmp_path, data, match):
    path = tmp_path / "bad.pkl"
    path.write_bytes(data)
    with pytest.raises(MotionError, match=match) as caught:
        read_pickle(path)
    assert "\n" not in str(caught.value)
    assert "bad.pkl" in str(caught.value)


def test_an_array_that_announces_more_than_it_holds():
    data = pickle.dumps(np.arange(8, dtype="u1"), 2)
    assert data.count(b"K\x08\x85") == 1
    with pytest.raises(MotionError, match="announces"):
        unpickle(data.replace(b"K\x08\x85", b"J\xff\xff\xff\x7f\x85"), "x")
