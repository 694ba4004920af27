"""Files as their formats define them, and files that are broken in every way that came to mind."""

import gzip
import io
import struct
import zipfile

import numpy as np
import pytest

from nn.data import read_csv, read_idx, read_npy, read_npz

CODES = {"uint8": 8, "int8": 9, "int16": 11, "int32": 12, "float32": 13, "float64": 14}


def idx(array, code=None, shape=None):
    shape = array.shape if shape is None else shape
    head = bytes([0, 0, CODES[array.dtype.name] if code is None else code, len(shape)])
    return head + b"".join(struct.pack(">I", n) for n in shape) + array.astype(array.dtype.newbyteorder(">")).tobytes()


# --- IDX -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("dtype", CODES)
def test_idx(dtype, packed, tmp_path):
    for array in (np.arange(24).reshape(2, 3, 4).astype(dtype), np.zeros((0, 5), dtype), np.arange(3).astype(dtype)):
        (tmp_path / "x").write_bytes(gzip.compress(idx(array)) if packed else idx(array))
        found = read_idx(tmp_path / "x")
        assert np.array_equal(found, array) and found.dtype == array.dtype and found.dtype.isnative and found.flags.writeable


X = np.arange(6, dtype=np.uint8).reshape(2, 3)
BAD_IDX = {
    "nothing": (b"", "it begins with b''"),
    "three bytes": (b"\0\0\x08", "it begins with"),
    "text": (b"hello world", "it begins with b'hell'"),
    "unknown type": (idx(X, code=10), "the byte of a type"),
    "no dimensions": (b"\0\0\x08\0", "should have 0 dimensions"),
    "sizes cut off": (idx(X)[:9], "should have 2 dimensions, and 5 bytes"),
    "data cut off": (idx(X)[:-1], "needs 6 bytes, and 5 follow"),
    "more data": (idx(X) + b"\0", "needs 6 bytes, and 7 follow"),
    "absurd": (idx(X, shape=(2**32 - 1,) * 8), "needs .* bytes, and 6 follow"),
    "255 dimensions": (b"\0\0\x08\xff" + bytes(255 * 4), "shape"),
}


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("name", BAD_IDX)
def test_bad_idx(name, packed, tmp_path):
    content, message = BAD_IDX[name]
    (tmp_path / "x").write_bytes(gzip.compress(content) if packed else content)
    with pytest.raises(ValueError, match="needs|shape" if packed and "needs" in message else message) as caught:
        read_idx(tmp_path / "x")
    assert str(caught.value).startswith(f"read_idx: {tmp_path / 'x'} cannot be read: ")


def test_damaged_gzip(tmp_path):
    whole = gzip.compress(idx(np.arange(100, dtype=np.int32)))
    for content in [whole[:n] for n in range(2, len(whole), 5)] + [whole[:-6] + b"\0\0" + whole[-4:]]:
        (tmp_path / "x").write_bytes(content)
        with pytest.raises(ValueError, match="cannot be read"):
            read_idx(tmp_path / "x")
    with pytest.raises(FileNotFoundError):
        read_idx(tmp_path / "y")


# --- CSV -------------------------------------------------------------------------------------------------------------


def csv_of(tmp_path, text, **options):
    (tmp_path / "x.csv").write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_csv(tmp_path / "x.csv", **options)


def test_csv(tmp_path):
    found, names = csv_of(tmp_path, 'a,"b, c", d\r\n1,2.5,-3e2\r\n\r\n" 4",nan,inf\r\n')
    assert names == ["a", "b, c", "d"] and found.dtype == np.float32
    np.testing.assert_array_equal(found, np.float32([[1, 2.5, -300], [4, np.nan, np.inf]]))
    assert csv_of(tmp_path, "1;2\n3;4", delimiter=";")[1] == ["0", "1"]
    found, names = csv_of(tmp_path, "x,y,z\n1,text,3\n4,,6\n", columns=["z", 0], dtype=np.int64)
    assert found.tolist() == [[3, 1], [6, 4]] and names == ["z", "x"]
    assert csv_of(tmp_path, "1,\n,4\n", missing=-1.0)[0].tolist() == [[1, -1], [-1, 4]]
    assert csv_of(tmp_path, "1,2\n3,4\n", header=True)[1] == ["1", "2"]


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("", {}, "it has no rows of numbers"),
        ("a,b\n", {}, "it has no rows of numbers"),
        ("1,2\n3\n", {}, "line 2 has 1 fields, and the first 2"),
        ("1,2\n3,4,5\n", {}, "line 2 has 3 fields, and the first 2"),
        ("a,b\n1,x\n", {}, "line 2, column 'b': 'x' is no float32"),
        ("a,b\n1,\n", {}, "line 2, column 'b': '' is no float32"),
        ("1_000,2\n3,4\n", {"header": False}, "'1_000' is no float32"),
        ("1,2\n3,1.5\n", {"dtype": np.int32}, "line 2, column '1': '1.5' is no int32"),
        ("1,300\n", {"dtype": np.uint8}, "'300' is no uint8"),
        ("a,a\n1,2\n", {}, "the name 'a' occurs twice"),
        ("a,b\n1,2\n", {"columns": ["c"]}, "there is no column 'c' among a, b"),
        ("a,b\n1,2\n", {"columns": [2]}, "there is no column 2"),
        (b"1,2\n3,\xff\n", {}, "utf-8"),
        ('1,"2\n3,4\n', {}, "unexpected end of data"),
        ('1,"2"3\n', {}, "expected after"),
        ("1,2\n3," + "9" * 200_000 + "\n", {}, "field larger than field limit"),
        ("1" * 5000 + "\n", {"dtype": np.int64}, "is no int64"),
    ],
)
def test_bad_csv(text, options, message, tmp_path):
    with pytest.raises(ValueError, match=message) as caught:
        csv_of(tmp_path, text, **options)
    assert str(caught.value).startswith(f"read_csv: {tmp_path / 'x.csv'} cannot be read: ")


# --- NumPy -----------------------------------------------------------------------------------------------------------


def npy(array, **options):
    out = io.BytesIO()
    np.lib.format.write_array(out, np.asanyarray(array), **options)
    return out.getvalue()


ARRAYS = [np.arange(6.0).reshape(2, 3), np.asfortranarray(np.arange(6, dtype=">i2").reshape(2, 3)), np.array(True), np.zeros((0, 4))]


def test_npy_and_npz(tmp_path):
    for version in ((1, 0), (2, 0), (3, 0)):
        for array in ARRAYS:
            (tmp_path / "x.npy").write_bytes(npy(array, version=version))
            found = read_npy(tmp_path / "x.npy")
            assert np.array_equal(found, array) and found.dtype.isnative and found.flags.writeable
    for write in (np.savez, np.savez_compressed):
        write(tmp_path / "x.npz", a=ARRAYS[0], b=ARRAYS[1])
        found = read_npz(tmp_path / "x.npz")
        assert list(found) == ["a", "b"] and all(np.array_equal(f, a) for f, a in zip(found.values(), ARRAYS, strict=False))


def header(text, length=None):
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(text) if length is None else length) + text.encode()


F8 = "{'descr': '<f8', 'fortran_order': False, 'shape': %s, }\n"
BAD_NPY = {
    "nothing": (b"", "it begins with b''"),
    "text": (b"hello world, a long text", "is not the beginning"),
    "pickle": (b"\x80\x04\x95" + bytes(50), "is not the beginning"),
    "version 9": (b"\x93NUMPY\x09\0" + bytes(50), "is not the beginning"),
    "objects": (npy(np.array([{}], object), allow_pickle=True), "it holds object"),
    "texts": (npy(np.array(["abc"])), "it holds <U3"),
    "complex": (npy(np.zeros(2, complex)), "it holds complex128"),
    "records": (npy(np.zeros(2, [("a", "f4")])), "only numbers and bools"),
    "header beyond the file": (header(F8 % "(2,)", 9000), "its header should have 9000 bytes"),
    "data cut off": (npy(np.arange(6.0))[:-1], "needs 48 bytes, and 47 follow"),
    "more data": (npy(np.arange(6.0)) + b"\0", "needs 48 bytes, and 49 follow"),
    "absurd": (header(F8 % "(2**62,)") + bytes(8), "header is malformed"),
    "absurd number": (header(F8 % f"({2**62}, 4)") + bytes(8), "needs .* bytes, and 8 follow"),
    "negative": (header(F8 % "(-1, -1)") + bytes(8), "shape"),
    "code": (header("__import__('os').system('false')\n"), "header is malformed"),
    "no shape": (header("{'descr': '<f8', 'fortran_order': False}\n"), "header is malformed"),
}


@pytest.mark.parametrize("name", BAD_NPY)
def test_bad_npy(name, tmp_path):
    content, message = BAD_NPY[name]
    (tmp_path / "x.npy").write_bytes(content)
    with pytest.raises(ValueError, match=message) as caught:
        read_npy(tmp_path / "x.npy")
    assert str(caught.value).startswith(f"read_npy: {tmp_path / 'x.npy'} cannot be read: ")
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("a.npy", content)
    with pytest.raises(ValueError, match=message):
        read_npz(tmp_path / "x.npz")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_bad_npz(tmp_path):
    path = tmp_path / "x.npz"
    np.savez_compressed(path, a=np.arange(100.0), b=np.arange(3))
    whole = path.read_bytes()
    for length in range(0, len(whole), 11):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match="x.npz cannot be read"):
            read_npz(path)
    path.write_bytes(whole[:100] + bytes([whole[100] ^ 0xFF]) + whole[101:])
    with pytest.raises(ValueError, match="x.npz cannot be read"):
        read_npz(path)
    for names, message in ((("a.npy", "a.npy"), "'a.npy' occurs twice"), (("a.txt",), "'a.txt' is no .npy file")):
        with zipfile.ZipFile(path, "w") as archive:
            for name in names:
                archive.writestr(name, npy(np.arange(3)))
        with pytest.raises(ValueError, match=message):
            read_npz(path)
