"""nn.save and nn.load: every layout comes back, writing is atomic, and no file makes `load` do anything but read."""

import json
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import autograd as ag
from nn import serialization
from nn.serialization import load, save

safetensors = pytest.importorskip("safetensors", reason="needs the extra [train]")
from safetensors.numpy import load_file, save_file  # noqa: E402

ROOT = Path(__file__).parents[2]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "state.safetensors"


def same(left, right):
    """Whether two states are equal: structure, keys and their order, dtypes, shapes and elements."""
    if isinstance(left, dict):
        return isinstance(right, dict) and list(left) == list(right) and all(same(left[k], right[k]) for k in left)
    if isinstance(left, (list, tuple)):
        return isinstance(right, list) and len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, (ag.Tensor, np.ndarray, np.generic)):
        a = left.detach().numpy() if isinstance(left, ag.Tensor) else np.asarray(left)
        assert isinstance(right, ag.Tensor) and right.device == "cpu" and not right.requires_grad
        return a.dtype.newbyteorder("=") == right.dtype and a.shape == right.shape and np.array_equal(a, right.numpy())
    return type(left) is type(right) and repr(left) == repr(right)


def file_of(header, data=b""):
    """The bytes of a safetensors file with this header (JSON text, or what becomes it)."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


# --- round trips -----------------------------------------------------------------------------------------------------

GRID = np.arange(24, dtype=np.float32).reshape(2, 3, 4)

LAYOUTS = {
    "plain": GRID,
    "transposed": GRID.T,
    "permuted": GRID.transpose(1, 0, 2),
    "strided": GRID[:, ::2, 1::2],
    "reversed": GRID[::-1, :, ::-1],
    "broadcast": np.broadcast_to(np.float32(3), (2, 5)),
    "fortran": np.asfortranarray(GRID),
    "offset": GRID.reshape(-1)[5:],
    "zero_d": np.array(2.5),
    "empty": np.zeros((0,), np.float32),
    "empty_3d": np.zeros((2, 0, 3), np.int64),
    "big_endian": GRID.astype(">f4"),
    "scalar": np.float32(7),
    "read_only": np.frombuffer(b"\0\1\2\3", np.uint8),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_every_layout_comes_back(name, path):
    array = LAYOUTS[name]
    before = np.array(array)
    save(path, {"x": array, "y": {"z": array}})
    assert same({"x": array, "y": {"z": array}}, load(path))
    assert np.array_equal(array, before)
    assert np.array_equal(load_file(path)["x"], array) and load_file(path)["y.z"].shape == array.shape


@pytest.mark.parametrize("name", ["bool", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f4", "f8"])
def test_every_dtype_comes_back(name, path):
    array = np.array([[0, 1], [2, 100]]).astype(name)
    save(path, {"x": array})
    assert same({"x": array}, load(path))


@pytest.mark.parametrize("view", [lambda t: t, lambda t: t.T, lambda t: t[1:, ::2], lambda t: t[0, 0], lambda t: t[:0]])
def test_tensors_come_back(view, path):
    tensor = view(ag.tensor(np.arange(12.0).reshape(3, 4), requires_grad=True))
    save(path, {"weight": tensor})
    assert same({"weight": tensor}, load(path))


def test_special_numbers_keep_their_bits(path):
    array = np.array([np.nan, -np.inf, -0.0, 5e-324, np.finfo(np.float64).max])
    save(path, {"x": array})
    assert load(path)["x"].numpy().tobytes() == array.tobytes()


def test_half_precision_becomes_float32(path):
    values = np.array([1.5, -2.0, np.inf, 65504.0], np.float16)
    save(path, {"half": values})
    loaded = load(path)["half"]
    assert loaded.dtype == ag.float32 and np.array_equal(loaded.numpy(), values)
    bits = np.array([1.5, -3e38, 1e-40], np.float32).view(np.uint32) >> 16
    data = bits.astype("<u2").tobytes()
    path.write_bytes(file_of({"b": {"dtype": "BF16", "shape": [3], "data_offsets": [0, 6]}}, data))
    loaded = load(path)["b"]
    assert loaded.dtype == ag.float32
    assert np.array_equal(loaded.numpy(), (bits << 16).astype(np.uint32).view(np.float32))


def test_loaded_tensors_are_writable_and_apart(path):
    save(path, {"a": np.ones(3), "b": np.ones(3)})
    state = load(path)
    state["a"].numpy()[:] = 5
    assert state["b"].tolist() == [1, 1, 1] and load(path)["a"].tolist() == [1, 1, 1]


NESTED = {
    "model": {"0.weight": np.ones((2, 3)), "0.bias": np.zeros(3, np.float32)},
    "optimizer": {"state": {0: {"step": 7, "mean": np.arange(3)}, 1: {}}, "groups": [{"lr": 1e-3, "betas": (0.9, 1)}]},
    "epoch": 3,
    "loss": float("nan"),
    "best": float("inf"),
    "name": 'quote " newline \n unicode \u00e9\U0001f600',
    "done": False,
    "nothing": None,
    "empty": {},
    "list": [],
    "tensors": [np.ones(1), [np.zeros(())]],
    "large": 2**200,
}


def test_nested_states_come_back(path):
    save(path, NESTED)
    assert same(NESTED, load(path))
    assert {"model.0.weight", "optimizer.state.0.mean", "tensors.1.0"} < set(load_file(path))


@pytest.mark.parametrize(
    "state",
    [
        {},
        {"a": 1},
        {"tensor": {"tensor": "a"}, "dict": {"dict": [["a", 1]]}},
        {"a.b": np.ones(1), "a": {"c": np.zeros(1)}},
        {"": np.ones(2)},
        {0: np.ones(2), "1": np.ones(1)},
        {"gradloom": np.ones(1), "format": "x"},
    ],
)
def test_unusual_states_come_back(state, path):
    save(path, state)
    assert same(state, load(path))


def test_generator_state_comes_back(path):
    from kernels.random import Generator

    generator = Generator(2**64 - 1)
    save(path, {"generator": generator.state()})
    assert load(path)["generator"] == generator.state()


def test_flat_files_are_like_those_of_others(path):
    save(path, {"weight": GRID, "bias": np.ones(3)})
    with safetensors.safe_open(path, "np") as file:
        assert file.metadata() == {"format": "pt"}
    save_file({"b.weight": GRID, "a": np.zeros(())}, path)
    assert same({"b.weight": GRID, "a": np.zeros(())}, dict(sorted(load(path).items(), reverse=True)))
    save_file({"x": GRID}, path, metadata={"anything": "{not json"})
    assert same({"x": GRID}, load(path))


def test_keys_keep_their_order(path):
    names = ["z", "a", "m.weight", "m.bias"]
    save(path, {"model": {name: np.ones(i + 1) for i, name in enumerate(names)}})
    assert list(load(path)["model"]) == names


def test_paths_of_every_kind(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for path in ("plain.safetensors", Path("path.safetensors"), "x" * 240, "\u00e9" * 100):
        save(path, {"x": np.ones(1)})
        assert load(path)["x"].tolist() == [1.0]


# --- bad states ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "error", "message"),
    [
        ([1], TypeError, "save: expected a dict of tensors, got list"),
        ({"a": {"b": object()}}, TypeError, "cannot save a value of type object at 'a.b'; expected tensors"),
        ({"a": [{1.5: 2}]}, TypeError, "keys must be strings or integers, got 1.5 at 'a.0'"),
        ({True: 1}, TypeError, "keys must be strings or integers, got True"),
        ({"a": np.ones(2, complex)}, TypeError, "hold no arrays of complex128 at 'a'"),
        ({"a": np.array(["x"])}, TypeError, "hold no arrays of <U1 at 'a'"),
        ({"a": np.array([None])}, TypeError, "hold no arrays of object at 'a'"),
        ({"a": {"b": np.ones(1)}, "a.b": np.ones(1)}, ValueError, "two tensors have the name 'a.b'"),
        ({"a": {0: np.ones(1), "0": np.ones(1)}}, ValueError, "two tensors have the name 'a.0'"),
        ({"__metadata__": np.ones(1)}, ValueError, "'__metadata__' is reserved"),
        ({"a": lambda: 1}, TypeError, "a value of type function at 'a'"),
        ({"a": {1, 2}}, TypeError, "a value of type set at 'a'"),
    ],
)
def test_bad_states_are_refused_and_nothing_is_written(state, error, message, path):
    save(path, {"old": np.ones(1)})
    with pytest.raises(error, match=message):
        save(path, state)
    assert same({"old": np.ones(1)}, load(path)) and os.listdir(path.parent) == [path.name]


def test_missing_package_is_named(path, monkeypatch):
    save(path, {"x": np.ones(1)})
    monkeypatch.setitem(sys.modules, "safetensors", None)
    monkeypatch.setitem(sys.modules, "safetensors.numpy", None)
    for call in (lambda: save(path, {}), lambda: load(path)):
        with pytest.raises(ImportError, match=r"need the package safetensors: pip install 'gradloom\[train\]'"):
            call()


# --- writing is atomic -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", ["write", "fsync", "replace", "chmod"])
@pytest.mark.parametrize(
    "error", [OSError("disk full"), KeyboardInterrupt(), SystemExit(1)], ids=["full", "^C", "exit"]
)
def test_failure_leaves_the_old_file_and_no_other(step, error, path, monkeypatch):
    save(path, {"x": np.zeros(3)})
    old = path.read_bytes()

    def fail(*args, **kwargs):
        raise error

    if step == "write":
        real_open = open

        def opened(name, mode="r", *args, **kwargs):
            file = real_open(name, mode, *args, **kwargs)
            if "x" in mode:
                file.write(b"half of it")
                file.close()
                fail()
            return file

        monkeypatch.setattr(serialization, "open", opened, raising=False)
    else:
        monkeypatch.setattr(serialization.os, step, fail)
    with pytest.raises(type(error)):
        save(path, {"x": np.ones(3)})
    monkeypatch.undo()
    assert path.read_bytes() == old and os.listdir(path.parent) == [path.name]


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_killed_process_leaves_the_old_file(step, path):
    save(path, {"x": np.zeros(1000)})
    old = path.read_bytes()
    program = (
        "import os, signal, sys, numpy as np; from nn.serialization import save\n"
        f"os.{step} = lambda *a: os.kill(os.getpid(), signal.SIGKILL)\n"
        "save(sys.argv[1], {'x': np.ones(100_000)})"
    )
    done = subprocess.run([sys.executable, "-c", program, str(path)], cwd=ROOT, timeout=120)
    assert done.returncode == -signal.SIGKILL
    assert path.read_bytes() == old and len(load(path)["x"]) == 1000
    save(path, {"x": np.ones(2)})
    assert len(load(path)["x"]) == 2


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_process_killed_at_any_moment_leaves_a_whole_file(path):
    save(path, {"x": np.full(50_000, -1.0)})
    program = (
        "import sys, numpy as np; from nn.serialization import save\n"
        "print('ready', flush=True); i = 0\n"
        "while True:\n"
        "    save(sys.argv[1], {'x': np.full(50_000, float(i))}); i += 1"
    )
    for delay in (0.0, 0.003, 0.011, 0.05):
        child = subprocess.Popen([sys.executable, "-c", program, str(path)], cwd=ROOT, stdout=subprocess.PIPE)
        child.stdout.readline()
        try:
            child.wait(delay)
        except subprocess.TimeoutExpired:
            child.kill()
        child.wait()
        child.stdout.close()
        values = load(path)["x"].numpy()
        assert values.shape == (50_000,) and (values == values[0]).all()


@pytest.mark.skipif(os.name == "nt", reason="POSIX permissions")
def test_permissions(path):
    old = os.umask(0o027)
    try:
        save(path, {})
        assert stat.S_IMODE(path.stat().st_mode) == 0o640
        path.chmod(0o604)
        save(path, {"x": np.ones(1)})
        assert stat.S_IMODE(path.stat().st_mode) == 0o604
    finally:
        os.umask(old)


@pytest.mark.skipif(os.name == "nt", reason="needs symbolic links")
def test_link_keeps_pointing_to_the_file(tmp_path):
    (tmp_path / "real").mkdir()
    target, link = tmp_path / "real" / "file", tmp_path / "link"
    link.symlink_to(target)
    for value in (1.0, 2.0):
        save(link, {"x": np.array(value)})
        assert link.is_symlink() and load(target)["x"].item() == value
    assert os.listdir(tmp_path / "real") == ["file"]


def test_missing_folder_and_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        save(tmp_path / "no" / "file", {})
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "file")
    with pytest.raises(OSError):
        load(tmp_path)


# --- hostile files ---------------------------------------------------------------------------------------------------

X = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
DATA = bytes(8)


def tree(text):
    return {"__metadata__": {"gradloom": text if isinstance(text, str) else json.dumps(text)}, "x": X}


HOSTILE = {
    "nothing": (b"", "it has 0 bytes"),
    "seven bytes": (b"\1" * 7, "it has 7 bytes"),
    "no header": (bytes(8), "."),
    "header beyond the file": (file_of({"x": X})[:20], "header should have"),
    "header of 2**63": ((2**63).to_bytes(8, "little") + b"{}", "header should have 9223372036854775808 bytes"),
    "header of 2**64 - 1": (b"\xff" * 8 + b"{}", "header should have"),
    "not JSON": (file_of(b"hello"), "."),
    "not UTF-8": (file_of(b'{"\xff": 1}'), "utf-8"),
    "a list": (file_of([]), "not a JSON object"),
    "a number": (file_of(b"3"), "not a JSON object"),
    "deep": (file_of(b"[" * 200_000), "nested too deeply"),
    "deep in a dict": (file_of(b'{"a":' * 100_000), "nested too deeply"),
    "pickle": (b"\x80\x04\x95" + bytes(100), "header should have"),
    "zip": (b"PK\x03\x04" + bytes(100), "."),
    "name twice": (file_of(f'{{"x":{json.dumps(X)},"x":{json.dumps(X)}}}'.encode(), DATA), "'x' occurs twice"),
    "key of a tensor twice": (
        file_of(b'{"x":{"dtype":"F32","shape":[2],"shape":[2],"data_offsets":[0,8]}}', DATA),
        "'shape' occurs twice",
    ),
    "truncated data": (file_of({"x": X}, DATA[:-1]), "not fully covered"),
    "more data": (file_of({"x": X}, DATA + b"\0"), "not fully covered"),
    "no data": (file_of({"x": X}), "."),
    "hole": (file_of({"x": {**X, "data_offsets": [8, 16]}}, bytes(16)), "."),
    "overlap": (file_of({"x": X, "y": {**X, "data_offsets": [4, 12]}}, bytes(12)), "."),
    "backwards": (file_of({"x": {**X, "data_offsets": [8, 0]}}, DATA), "."),
    "negative offset": (file_of({"x": {**X, "data_offsets": [-8, 0]}}, DATA), "."),
    "negative size": (file_of({"x": {**X, "shape": [-2]}}, DATA), "."),
    "fractional size": (file_of({"x": {**X, "shape": [2.0]}}, DATA), "."),
    "shape too large": (file_of({"x": {**X, "shape": [3]}}, DATA), "."),
    "shape overflows": (file_of({"x": {**X, "shape": [2**62, 4]}}, DATA), "."),
    "shape overflows to its size": (file_of({"x": {**X, "shape": [2**63 + 1, 2]}}, DATA), "."),
    "empty and vast": (file_of({"x": {"dtype": "F32", "shape": [2**63, 0], "data_offsets": [0, 0]}}), "."),
    "too many dimensions": (file_of({"x": {**X, "shape": [1] * 100 + [2]}}, DATA), "."),
    "unknown dtype": (file_of({"x": {**X, "dtype": "F33"}}, DATA), "."),
    "complex": (file_of({"x": {**X, "dtype": "C64", "shape": [1]}}, DATA), "C64, which is not supported"),
    "eight-bit float": (
        file_of({"x": {**X, "dtype": "F8_E4M3", "shape": [8]}}, DATA),
        "F8_E4M3, which is not supported",
    ),
    "no dtype": (file_of({"x": {"shape": [2], "data_offsets": [0, 8]}}, DATA), "."),
    "no shape": (file_of({"x": {"dtype": "F32", "data_offsets": [0, 8]}}, DATA), "."),
    "tensor is a number": (file_of({"x": 3}, DATA), "."),
    "bool of other bytes": (
        file_of({"x": {"dtype": "BOOL", "shape": [2], "data_offsets": [0, 2]}}, b"\1\2"),
        "holds bytes other than 0 and 1",
    ),
    "metadata is a list": (file_of({"__metadata__": [], "x": X}, DATA), "texts as metadata"),
    "metadata is nested": (file_of({"__metadata__": {"a": {}}, "x": X}, DATA), "texts as metadata"),
    "tree is not JSON": (file_of(tree("{not json"), DATA), "."),
    "tree is a number": (file_of(tree("3"), DATA), "does not fit its tensors"),
    "tree is a tensor": (file_of(tree({"tensor": "x"}), DATA), "does not fit its tensors"),
    "tree forgets a tensor": (file_of(tree({"dict": []}), DATA), "does not fit its tensors"),
    "tree names another": (file_of(tree({"dict": [["x", {"tensor": "y"}]]}), DATA), "does not fit its tensors"),
    "tree names one twice": (file_of(tree({"dict": [["a", {"tensor": "x"}]] * 2}), DATA), "does not fit"),
    "tree names no text": (file_of(tree({"dict": [["a", {"tensor": [1]}]]}), DATA), "does not fit"),
    "tree of other objects": (file_of(tree({"module": "os", "dict": []}), DATA), "does not fit"),
    "tree with bad pairs": (file_of(tree({"dict": [["a"]]}), DATA), "does not fit"),
    "tree with a list as key": (file_of(tree({"dict": [[["a"], {"tensor": "x"}]]}), DATA), "does not fit"),
    "tree too deep": (file_of(tree("[" * 100_000 + "]" * 100_000), DATA), "nested too deeply"),
    "tree with a name twice": (file_of(tree('{"dict": [], "dict": []}'), DATA), "occurs twice"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_malformed_files_are_named(name, path):
    content, message = HOSTILE[name]
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message) as caught:
        load(path)
    assert str(caught.value).startswith(f"load: {path} is not a valid safetensors file: ")


def test_any_damaged_byte_is_an_error_or_other_numbers(path):
    """Each byte of a small file changed in several ways: `load` returns a dict or raises ValueError, nothing else."""
    save(path, {"a": np.arange(3.0), "b": {"step": 3, "flags": np.array([True, False])}})
    whole = path.read_bytes()
    for position in range(len(whole)):
        for change in (0x01, 0x80, 0xFF):
            path.write_bytes(whole[:position] + bytes([whole[position] ^ change]) + whole[position + 1 :])
            try:
                assert isinstance(load(path), dict)
            except ValueError as error:
                assert str(path) in str(error)
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match="not a valid safetensors file"):
            load(path)


@pytest.mark.skipif(sys.platform != "linux", reason="needs RLIMIT_AS")
def test_small_files_cannot_ask_for_much_memory(tmp_path):
    for i, (content, _) in enumerate(HOSTILE.values()):
        (tmp_path / str(i)).write_bytes(content)
    program = (
        "import resource, sys; from pathlib import Path; from nn.serialization import load, _safetensors\n"
        "_safetensors()\n"
        "used = int(Path('/proc/self/statm').read_text().split()[0]) * resource.getpagesize()\n"
        "resource.setrlimit(resource.RLIMIT_AS, (used + (256 << 20),) * 2)\n"
        "for path in Path(sys.argv[1]).iterdir():\n"
        "    try: load(path)\n"
        "    except ValueError: continue\n"
        "    raise SystemExit(f'{path} was accepted')\n"
    )
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], cwd=ROOT, check=True, timeout=120)
