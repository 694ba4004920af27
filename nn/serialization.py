"""Saving and loading states as safetensors files: tensors and plain values, never pickled code.

    nn.save("model.safetensors", model.state_dict())
    model.load_state_dict(nn.load("model.safetensors"))
    nn.save("checkpoint.safetensors", {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "epoch": 3})

In the file a tensor's name is its path of keys joined by dots, so other programs that read safetensors find the usual
names. What is not a tensor (numbers, strings, None, the nesting itself) is JSON text in the file's metadata, under
"gradloom". Writing is atomic: whoever opens the path finds the old file or the new one, whole.

The format: https://huggingface.co/docs/safetensors. It is checked by the `safetensors` package, of the extra [train],
and here for names that occur twice, which the package lets pass.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import stat
from collections.abc import Iterator, Mapping
from types import ModuleType
from typing import Any

import numpy as np

import autograd as ag

_TREE = "gradloom"  # the metadata entry that holds the state with a reference in place of each tensor
_LARGEST_HEADER = 100_000_000  # bytes, the format's own limit
_DTYPES = {
    "BOOL": np.dtype(np.bool_),
    **{f"I{8 * size}": np.dtype(f"i{size}") for size in (1, 2, 4, 8)},
    **{f"U{8 * size}": np.dtype(f"u{size}") for size in (1, 2, 4, 8)},
    **{f"F{8 * size}": np.dtype(f"f{size}") for size in (2, 4, 8)},
    "BF16": np.dtype(np.uint16),  # NumPy has no bfloat16: its bits
}


def save(path: str | os.PathLike, state: Mapping[str, Any]) -> None:
    """Write a state to `path` in the safetensors format, all of it or, if anything goes wrong, nothing.

    Args:
        path: the file, which is replaced in one step if it exists (its permissions stay); its folder must exist.
        state: a dict of tensors or NumPy arrays of any layout; also nested dicts, lists and tuples of them, and
            numbers, strings, booleans and None. Keys are strings or integers. Gradients are not saved.

    Raises:
        TypeError: a key, a value or a dtype that the file cannot hold; the message says where in the state it is.
        ValueError: two tensors whose paths of keys, joined by dots, are equal.
        ImportError: the package `safetensors` is not installed.

    >>> import tempfile, autograd as ag
    >>> path = os.path.join(tempfile.mkdtemp(), "checkpoint.safetensors")
    >>> save(path, {"model": {"weight": ag.tensor([1.0, 2.0])}, "epoch": 3})
    >>> load(path)
    {'model': {'weight': tensor([1., 2.], dtype=float32)}, 'epoch': 3}
    """
    package = _safetensors()
    if not isinstance(state, Mapping):
        raise TypeError(f"save: expected a dict of tensors, got {type(state).__name__}")
    arrays: dict[str, np.ndarray] = {}
    tree = _describe(state, "", arrays)
    metadata = {"format": "pt"}  # what readers of PyTorch's files ask for; names and layouts are PyTorch's
    if tree != {"dict": [[name, {"tensor": name}] for name in arrays]}:
        metadata[_TREE] = json.dumps(tree)
    try:
        content = package.numpy.save(arrays, metadata=metadata)
    except package.SafetensorError as error:
        raise ValueError(f"save: cannot write {os.fspath(path)}: {error}") from error
    write_atomically(path, content)


def load(path: str | os.PathLike) -> dict[str, Any]:
    """Read a state that `save`, or any other program, wrote in the safetensors format.

    Returns:
        The dict that was saved, with tensors on the CPU in its tensors' and arrays' places (tuples have become lists);
        for a file of another program, one flat dict by the names in the file. float16 and bfloat16, in which nothing is
        computed here, become float32.

    Raises:
        ValueError: not a whole and well-formed safetensors file; the message names the file and what is wrong.
        OSError: the file cannot be read.
        ImportError: the package `safetensors` is not installed.
    """
    package = _safetensors()
    name = os.fspath(path)
    with open(path, "rb") as file:
        content = file.read()
    try:
        header = _read_header(content)
        found = dict(package.deserialize(content))
        tensors = {key: ag.asarray(_array(key, found[key])) for key in header if key != "__metadata__"}
        tree = header.get("__metadata__", {}).get(_TREE)
        if tree is None:
            return tensors
        return _state_of(_parse(tree), tensors)
    except (ValueError, RecursionError, package.SafetensorError) as error:
        trouble = "its header is nested too deeply" if isinstance(error, RecursionError) else error
        raise ValueError(f"load: {name} is not a valid safetensors file: {trouble}") from error


def _safetensors() -> ModuleType:
    try:
        import safetensors.numpy
    except ImportError as error:
        raise ImportError("nn.save and nn.load need the package safetensors: pip install 'gradloom[train]'") from error
    return safetensors


# --- from a state to arrays and text, and back ------------------------------------------------------------------------


def _describe(value: Any, path: str, arrays: dict[str, np.ndarray]) -> Any:
    """`value` as JSON, with a reference in place of each tensor, which is added to `arrays`.

    Objects of the JSON have one key, which tells a tensor's name from a dict's pairs: no key of a user can be mistaken.
    """
    if isinstance(value, str):  # first, for np.str_ is both a string and a NumPy scalar
        return str(value)
    if isinstance(value, (ag.Tensor, np.ndarray, np.generic)):
        if path in arrays:
            raise ValueError(f"save: two tensors have the name {path!r} once their keys are joined by dots")
        if path == "__metadata__":
            raise ValueError("save: the name '__metadata__' is reserved by the safetensors format")
        arrays[path] = _contiguous(value, path)
        return {"tensor": path}
    if isinstance(value, Mapping):
        pairs = []
        for key, item in value.items():
            if isinstance(key, bool) or not isinstance(key, (str, int)):
                raise TypeError(f"save: keys must be strings or integers, got {key!r}{_where(path)}")
            pairs.append([key, _describe(item, f"{path}.{key}" if path else str(key), arrays)])
        return {"dict": pairs}
    if isinstance(value, (list, tuple)):
        return [_describe(item, f"{path}.{i}" if path else str(i), arrays) for i, item in enumerate(value)]
    if value is None or isinstance(value, (bool, int, float)):
        return value
    raise TypeError(
        f"save: cannot save a value of type {type(value).__name__}{_where(path)}; expected tensors, arrays, numbers, "
        "strings, None, and dicts, lists or tuples of them"
    )


def _where(path: str) -> str:
    return f" at {path!r}" if path else ""


def _contiguous(value: Any, path: str) -> np.ndarray:
    """The elements in C order and native bytes: safetensors writes memory as it lies, whatever the strides say."""
    array = value.detach().numpy() if isinstance(value, ag.Tensor) else np.asarray(value)
    array = np.asarray(array, array.dtype.newbyteorder("="), order="C")
    if array.dtype not in _DTYPES.values():
        raise TypeError(f"save: safetensors files hold no arrays of {array.dtype}{_where(path)}")
    return array


def _state_of(tree: Any, tensors: dict[str, ag.Tensor]) -> dict[str, Any]:
    """The state that `_describe` described, each tensor in its place."""
    left = dict(tensors)
    state = _restore(tree, left)
    if left or not isinstance(state, dict):
        raise ValueError(_MISFIT)
    return state


def _restore(node: Any, tensors: dict[str, ag.Tensor]) -> Any:
    if isinstance(node, list):
        return [_restore(item, tensors) for item in node]
    if not isinstance(node, dict):
        return node
    kind, content = next(iter(node.items())) if len(node) == 1 else (None, None)
    if kind == "tensor" and isinstance(content, str) and content in tensors:
        return tensors.pop(content)
    if kind == "dict" and isinstance(content, list) and all(_is_pair(pair) for pair in content):
        return {key: _restore(item, tensors) for key, item in content}
    raise ValueError(_MISFIT)


def _is_pair(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and isinstance(value[0], (str, int))


_MISFIT = f"the description of the state in its metadata ({_TREE!r}) does not fit its tensors"


# --- reading ---------------------------------------------------------------------------------------------------------


def _read_header(content: bytes) -> dict[str, Any]:
    """The header, once its length is known to be inside the file and no name occurs twice."""
    if len(content) < 8:
        raise ValueError(f"it has {len(content)} bytes, fewer than the 8 that give the length of the header")
    length = int.from_bytes(content[:8], "little")
    if length > min(_LARGEST_HEADER, len(content) - 8):
        raise ValueError(f"its header should have {length} bytes, and {len(content) - 8} follow")
    header = _parse(content[8 : 8 + length])
    metadata = header.get("__metadata__", {}) if isinstance(header, dict) else None
    if not isinstance(metadata, dict) or not all(isinstance(text, str) for text in metadata.values()):
        raise ValueError("its header is not a JSON object with texts as metadata")
    return header


def _parse(text: str | bytes) -> Any:
    """JSON in which no object has a key twice; UnicodeDecodeError and JSONDecodeError are ValueErrors."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        result = dict(pairs)
        if len(result) < len(pairs):
            names = [name for name, _ in pairs]
            raise ValueError(f"the name {next(n for n in names if names.count(n) > 1)!r} occurs twice in its header")
        return result

    return json.loads(text if isinstance(text, str) else text.decode("utf-8"), object_pairs_hook=unique)


def _array(name: str, found: dict[str, Any]) -> np.ndarray:
    """A tensor of the file as an array of its own, of a dtype that tensors have."""
    dtype = _DTYPES.get(found["dtype"])
    if dtype is None:
        raise ValueError(f"tensor {name!r} has the data type {found['dtype']}, which is not supported")
    if dtype.kind == "b" and not set(found["data"]) <= {0, 1}:
        raise ValueError(f"tensor {name!r} is BOOL and holds bytes other than 0 and 1")
    array = np.frombuffer(found["data"], dtype.newbyteorder("<")).reshape(found["shape"])
    if found["dtype"] == "BF16":
        return (array.astype(np.uint32) << 16).view(np.float32)
    return array.astype(np.float32 if found["dtype"] == "F16" else dtype, copy=False)


# --- writing ---------------------------------------------------------------------------------------------------------


def write_atomically(path: str | os.PathLike, content: bytes) -> None:
    """Put a file in the place of another: complete and on the disk before it gets the name."""
    target = os.path.realpath(path)  # a link keeps pointing to the file, which is what is replaced
    folder, name = os.path.split(target)
    temporary = os.path.join(folder, f".{name[:40]}.{secrets.token_hex(8)}.tmp")
    with _removed_on_error(temporary):
        with open(temporary, "xb") as file:
            with contextlib.suppress(FileNotFoundError):
                os.chmod(temporary, stat.S_IMODE(os.stat(target).st_mode))
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    _sync_folder(folder)


@contextlib.contextmanager
def _removed_on_error(temporary: str) -> Iterator[None]:
    try:
        yield
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def _sync_folder(folder: str) -> None:
    """Have the new name on the disk too, where a folder can be opened for that."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
