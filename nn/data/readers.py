"""Readers of data files: IDX (the format of MNIST), CSV, and NumPy's .npy and .npz. Nothing in a file is executed.

Each gives arrays, ready for `TensorDataset`. A file that is malformed, cut off, or that claims more than it holds raises a
ValueError which names the file and what is wrong, before memory is taken for what it claims.
"""

from __future__ import annotations

import csv
import gzip
import io
import math
import os
import zipfile
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np

_LIMIT = 1 << 34  # bytes of a decompressed file: 16 GiB
_IDX_DTYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


def read_idx(path: str | os.PathLike) -> np.ndarray:
    """The array in an IDX file, as MNIST's "train-images-idx3-ubyte.gz"; compressed or not, which its first bytes tell.

    Two zero bytes, a byte for the type, one for the number of dimensions, the sizes as big-endian 32-bit numbers, and the
    elements in C order: http://yann.lecun.com/exdb/mnist (in the section on file formats).

    Raises:
        ValueError: not an IDX file, or one whose elements are more or fewer than its sizes say.
        OSError: the file cannot be read.
    """
    with open(path, "rb") as file:
        start = file.read(2)
        file.seek(0)
        if start != b"\x1f\x8b":
            return _idx(file, os.fstat(file.fileno()).st_size, path)
        with gzip.GzipFile(fileobj=file) as unpacked:
            try:
                return _idx(unpacked, None, path)
            except (EOFError, gzip.BadGzipFile, zlib.error) as error:
                raise _wrong("read_idx", path, f"its compressed data are damaged or cut off: {error}") from error


def _idx(file: Any, size: int | None, path: str | os.PathLike) -> np.ndarray:
    head = file.read(4)
    if len(head) < 4 or head[:2] != b"\0\0" or head[2] not in _IDX_DTYPES:
        raise _wrong("read_idx", path, f"it begins with {head!r}, and an IDX file with two zeros and the byte of a type")
    dtype, count = np.dtype(_IDX_DTYPES[head[2]]), head[3]
    sizes = file.read(4 * count)
    if not count or len(sizes) < 4 * count:
        raise _wrong("read_idx", path, f"it should have {count} dimensions, and {len(sizes)} bytes of sizes follow")
    shape = tuple(int.from_bytes(sizes[4 * i : 4 * i + 4], "big") for i in range(count))
    wanted = math.prod(shape) * dtype.itemsize
    if count > 32 or wanted > _LIMIT or (size is not None and wanted != size - 4 - 4 * count):
        there = "too many" if size is None else f"{size - 4 - 4 * count} follow"
        raise _wrong("read_idx", path, f"shape {shape} of {dtype.name} needs {wanted} bytes, and {there}")
    content = _at_most(file, wanted + 1)
    if len(content) != wanted:
        more = "more" if len(content) > wanted else f"only {len(content)}"
        raise _wrong("read_idx", path, f"shape {shape} of {dtype.name} needs {wanted} bytes, and {more} follow")
    return np.frombuffer(content, dtype).reshape(shape).astype(dtype.newbyteorder("="))


def _at_most(file: Any, count: int) -> bytes:
    """Up to `count` bytes, read in pieces: memory grows with what is there, not with what is claimed."""
    pieces, left = [], count
    while left and (piece := file.read(min(left, 1 << 20))):
        pieces.append(piece)
        left -= len(piece)
    return b"".join(pieces)


def read_csv(
    path: str | os.PathLike, *, delimiter: str = ",", header: bool | None = None, columns: Sequence[str | int] | None = None,
    dtype: Any = np.float32, missing: float | None = None, encoding: str = "utf-8",
) -> tuple[np.ndarray, list[str]]:  # fmt: skip
    """The numbers of a CSV file (RFC 4180) as an array (rows, columns), and the columns' names.

    Args:
        header: whether the first line has names; None: if it has a text that is no number.
        columns: names or numbers of those to read, in that order; all by default.
        dtype: of the array, a number type. Integers must be written as such and fit.
        missing: what an empty field stands for; without it an empty field is an error.

    Returns:
        The array, and the names ("0", "1", ... without a header).

    Raises:
        ValueError: a line with more or fewer fields than the first, a field that is no number (line and column are named),
            names that occur twice, no such column, bytes that are not text in the encoding, or no rows.
        OSError: the file cannot be read.
    """
    kind = np.dtype(dtype)
    if kind.kind not in "iuf":
        raise TypeError(f"read_csv: dtype must be a type of integers or floats, got {kind}")
    with open(path, encoding=encoding, newline="") as file:
        reader = csv.reader(file, delimiter=delimiter, strict=True)
        lines: list[tuple[int, list[str]]] = []
        try:
            for fields in reader:
                if fields:
                    lines.append((reader.line_num, fields))
                    if len(fields) != len(lines[0][1]):
                        message = f"line {reader.line_num} has {len(fields)} fields, and the first {len(lines[0][1])}"
                        raise _wrong("read_csv", path, message)
        except (csv.Error, UnicodeDecodeError) as error:
            raise _wrong("read_csv", path, f"after line {reader.line_num}: {error}") from error
    if header is None:
        header = bool(lines) and any(field.strip() and _number(field, np.dtype(np.float64)) is None for field in lines[0][1])
    first = lines[0][1] if lines else []
    names = [name.strip() if header else str(i) for i, name in enumerate(first)]
    rows = lines[1:] if header else lines
    if not rows:
        raise _wrong("read_csv", path, "it has no rows of numbers")
    if len(set(names)) < len(names):
        raise _wrong("read_csv", path, f"the name {next(n for n in names if names.count(n) > 1)!r} occurs twice in its header")
    wanted = list(range(len(names))) if columns is None else [_column(path, names, column) for column in columns]
    out = np.empty((len(rows), len(wanted)), kind)
    for i, (line, fields) in enumerate(rows):
        for j, k in enumerate(wanted):
            value = missing if missing is not None and not fields[k].strip() else _number(fields[k], kind)
            if value is None:
                raise _wrong("read_csv", path, f"line {line}, column {names[k]!r}: {fields[k][:40]!r} is no {kind.name}")
            out[i, j] = value
    return out, [names[k] for k in wanted]


def _column(path: str | os.PathLike, names: list[str], column: str | int) -> int:
    if isinstance(column, int) and -len(names) <= column < len(names):
        return column % len(names)
    if column in names:
        return names.index(column)  # type: ignore[arg-type]
    raise _wrong("read_csv", path, f"there is no column {column!r} among {', '.join(names[:20])}")


def _number(text: str, kind: np.dtype) -> float | int | None:
    """The number that a field holds, None if it holds none that fits."""
    if "_" in text:  # Python's way to write 1000 as 1_000 is not CSV's
        return None
    try:
        if kind.kind == "f":
            return float(text)
        value, limits = int(text), np.iinfo(kind)
        return value if limits.min <= value <= limits.max else None
    except ValueError:
        return None


def read_npy(path: str | os.PathLike) -> np.ndarray:
    """The array in a .npy file, of numbers or bools; arrays of objects, which are pickled code, are refused.

    Raises:
        ValueError: not a .npy file, cut off, or with anything but numbers.
        OSError: the file cannot be read.
    """
    with open(path, "rb") as file:
        return _npy(file, os.fstat(file.fileno()).st_size, path, "read_npy")


def read_npz(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """The arrays in a .npz file by name, as `read_npy` reads each.

    Raises:
        ValueError: not a .npz file, damaged, with a name twice, or an array that `read_npy` refuses.
        OSError: the file cannot be read.
    """
    arrays: dict[str, np.ndarray] = {}
    try:
        with zipfile.ZipFile(path) as archive:
            for member in archive.infolist():
                name = member.filename.removesuffix(".npy")
                if name in arrays or name == member.filename:
                    why = "occurs twice" if name in arrays else "is no .npy file"
                    raise _wrong("read_npz", path, f"its member {member.filename!r} {why}")
                with archive.open(member) as file:
                    arrays[name] = _npy(file, member.file_size, path, "read_npz")
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise _wrong("read_npz", path, str(error)) from error
    return arrays


def _npy(file: Any, size: int, path: str | os.PathLike, caller: str) -> np.ndarray:
    start = file.read(10)
    length = 4 if start[6:7] in (b"\2", b"\3") else 2
    if len(start) < 10 or start[:6] != b"\x93NUMPY" or start[6] not in (1, 2, 3):
        raise _wrong(caller, path, f"it begins with {start!r}, which is not the beginning of a .npy file")
    start += file.read(length - 2)
    header = int.from_bytes(start[8 : 8 + length], "little")
    if header > min(10_000, size - 8 - length):  # NumPy's own limit
        raise _wrong(caller, path, f"its header should have {header} bytes, of {size - 8 - length} that follow")
    start += file.read(header)
    stream = io.BytesIO(start)
    try:
        version = np.lib.format.read_magic(stream)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, in_columns, dtype = read(stream)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError) as error:
        raise _wrong(caller, path, f"its header is malformed: {error}") from error
    if dtype.kind not in "biuf" or dtype.itemsize > 8:
        raise _wrong(caller, path, f"it holds {dtype}, and only numbers and bools are read")
    wanted = math.prod(shape) * dtype.itemsize
    if min(shape, default=0) < 0 or len(shape) > 32 or wanted != size - len(start) or wanted > _LIMIT:
        raise _wrong(caller, path, f"shape {shape} of {dtype} needs {wanted} bytes, and {size - len(start)} follow its header")
    content = _at_most(file, wanted + 1)
    if len(content) != wanted:
        raise _wrong(caller, path, f"shape {shape} of {dtype} needs {wanted} bytes, and {len(content)} follow its header")
    array = np.frombuffer(content, dtype).reshape(shape, order="F" if in_columns else "C")
    return array.astype(dtype.newbyteorder("="))


def _wrong(caller: str, path: str | os.PathLike, message: str) -> ValueError:
    return ValueError(f"{caller}: {os.fspath(path)} cannot be read: {message}")
