"""The folder of generated source: two processes at once, folders that cannot be used, and what is never loaded."""

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from kernels import cache

ROOT = Path(__file__).parents[2]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty cache folder of this test's own, and a process that has loaded nothing."""
    chosen = tmp_path / "cache"
    monkeypatch.setenv("GRADLOOM_CACHE", str(chosen))
    monkeypatch.setattr(cache, "_modules", {})
    monkeypatch.setattr(cache, "_private", None)
    yield chosen
    for name in [n for n in sys.modules if n.startswith("gradloom_generated.sample_")]:
        del sys.modules[name]
    if cache._private is not None:
        shutil.rmtree(cache._private, ignore_errors=True)


def home(module):
    return Path(module.__file__).parent


# --- what is loaded ------------------------------------------------------------------------------------------------


def test_a_module_is_written_and_imported(folder):
    module = cache.load_source("sample", "x = 17\n")
    assert module.x == 17 and home(module) == folder
    assert Path(module.__file__).name == f"sample_{cache.digest('x = 17' + chr(10))}.py"
    assert sys.modules[module.__name__] is module
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert [f.name for f in folder.iterdir() if f.suffix != ".py" and f.name != "__pycache__"] == [], "no temporary file stays"


def test_equal_text_gives_the_same_module_and_other_text_another(folder):
    first = cache.load_source("sample", "x = []\n")
    assert cache.load_source("sample", "x = []\n") is first
    other = cache.load_source("sample", "x = [1]\n")
    assert other is not first and other.x == [1] and first.x == []


def test_a_second_process_would_find_it(folder, monkeypatch):
    first = cache.load_source("sample", "x = []\n")
    written = Path(first.__file__).stat().st_mtime_ns
    monkeypatch.setattr(cache, "_modules", {})
    second = cache.load_source("sample", "x = []\n")
    assert second is not first and second.__file__ == first.__file__
    assert Path(first.__file__).stat().st_mtime_ns == written


def test_a_damaged_file_is_written_again(folder):
    folder.mkdir(mode=0o700)
    text = "x = 23\n"
    path = folder / f"sample_{cache.digest(text)}.py"
    path.write_text("x = ")
    assert cache.load_source("sample", text).x == 23
    assert path.read_text() == text


@pytest.mark.parametrize(("text", "error"), [("x = 1 / 0\n", ZeroDivisionError), ("x = (\n", SyntaxError)])
def test_a_module_that_fails_is_not_kept(folder, text, error):
    before = set(sys.modules)
    for _ in range(2):
        with pytest.raises(error):
            cache.load_source("sample", text)
    assert not cache._modules and set(sys.modules) == before


def test_a_module_that_fails_once_may_succeed_later(folder, monkeypatch):
    text = "import os\nx = os.environ['GRADLOOM_TEST_SAMPLE']\n"
    with pytest.raises(KeyError):
        cache.load_source("sample", text)
    monkeypatch.setenv("GRADLOOM_TEST_SAMPLE", "here")
    assert cache.load_source("sample", text).x == "here"


def test_an_interrupted_write_leaves_nothing(folder, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", interrupted)
        with pytest.raises(KeyboardInterrupt):
            cache.load_source("sample", "x = 5\n")
    assert list(folder.iterdir()) == []
    assert cache.load_source("sample", "x = 5\n").x == 5


# --- folders -----------------------------------------------------------------------------------------------------------


def test_the_folder_of_the_user(monkeypatch):
    monkeypatch.setenv("GRADLOOM_CACHE", "~/somewhere")
    assert cache.default_folder() == Path.home() / "somewhere"
    monkeypatch.delenv("GRADLOOM_CACHE")
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("XDG_CACHE_HOME", "/elsewhere")
    assert cache.default_folder() == Path("/elsewhere/gradloom/kernels")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache.default_folder() == Path.home() / ".cache/gradloom/kernels"


def read_only(monkeypatch, folder):
    """What a folder without write permission does, also where the tests run as root."""
    access, make = os.access, cache.tempfile.mkstemp

    def refuse(dir=None, **options):
        if Path(dir) == folder:
            raise PermissionError(13, "Permission denied", str(dir))
        return make(dir=dir, **options)

    monkeypatch.setattr(os, "access", lambda path, mode: False if Path(path) == folder and mode & os.W_OK else access(path, mode))
    monkeypatch.setattr(cache.tempfile, "mkstemp", refuse)


def test_a_read_only_folder_is_left_for_a_private_one(folder, monkeypatch):
    folder.mkdir(mode=0o700)
    read_only(monkeypatch, folder)
    module = cache.load_source("sample", "x = 1\n")
    assert module.x == 1 and home(module) == cache._private and list(folder.iterdir()) == []
    assert stat.S_IMODE(cache._private.stat().st_mode) == 0o700


def test_a_read_only_folder_is_read(folder, monkeypatch):
    text = "x = 2\n"
    first = cache.load_source("sample", text)
    index = folder / "__pycache__" / f"{Path(first.__file__).stem}.f-1.py311.nbi"
    index.parent.mkdir(exist_ok=True)
    index.touch()
    monkeypatch.setattr(cache, "_modules", {})
    read_only(monkeypatch, folder)
    assert home(cache.load_source("sample", text)) == folder
    assert home(cache.load_source("sample", "x = 3\n")) == cache._private


def test_a_folder_that_becomes_read_only_between_check_and_use(folder, monkeypatch):
    folder.mkdir(mode=0o700)
    access = os.access
    read_only(monkeypatch, folder)
    monkeypatch.setattr(os, "access", access)
    module = cache.load_source("sample", "x = 4\n")
    assert module.x == 4 and home(module) == cache._private


def test_a_folder_that_cannot_be_made(tmp_path, folder, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("GRADLOOM_CACHE", str(tmp_path / "file" / "below"))
    assert home(cache.load_source("sample", "x = 6\n")) == cache._private


def test_a_folder_deleted_between_two_kernels_is_made_again(folder):
    cache.load_source("sample", "x = 7\n")
    shutil.rmtree(folder)
    module = cache.load_source("sample", "x = 8\n")
    assert module.x == 8 and home(module) == folder and list(folder.glob("*.py")) == [Path(module.__file__)]
    assert cache.load_source("sample", "x = 7\n").x == 7, "what is loaded needs no folder"


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="permissions of this kind are a matter of POSIX")
@pytest.mark.parametrize("mode", [0o777, 0o770, 0o722])
def test_a_folder_that_others_can_write_to_is_refused(folder, mode):
    folder.mkdir()
    folder.chmod(mode)
    text = "x = 9\n"
    trap = folder / f"sample_{cache.digest(text)}.py"
    trap.write_text("raise SystemExit('code of somebody else')\n")
    module = cache.load_source("sample", text)
    assert module.x == 9 and home(module) == cache._private


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="users are a matter of POSIX")
def test_a_folder_of_somebody_else_is_refused(folder, monkeypatch):
    folder.mkdir(mode=0o700)
    owner = folder.stat().st_uid
    if owner == 0:
        os.chown(folder, 4242, -1)
    else:
        monkeypatch.setattr(os, "getuid", lambda: owner + 1)
    assert home(cache.load_source("sample", "x = 10\n")) == cache._private


# --- processes ---------------------------------------------------------------------------------------------------------

PROGRAM = """
import numpy as np
from kernels import cache, cpu, formulas
x = np.arange(10, dtype=np.float32)
{between}
assert np.array_equal(cpu.apply(formulas.add, x, x), x + x)
assert np.allclose(cpu.sum(x), 45)
print(cache._private)
"""


def start(folder, between=""):
    environment = os.environ | {"PYTHONPATH": str(ROOT), "GRADLOOM_CACHE": str(folder)}
    program = [sys.executable, "-W", "error", "-c", PROGRAM.format(between=between)]
    return subprocess.Popen(program, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(process):
    out, error = process.communicate(timeout=300)
    assert process.returncode == 0, error
    return out.strip()


def test_two_processes_race_for_an_empty_folder(tmp_path):
    folder = tmp_path / "cache"
    processes = [start(folder) for _ in range(2)]
    assert [finish(p) for p in processes] == ["None", "None"]
    names = sorted(f.name for f in folder.glob("*.py"))
    assert len(names) == 2 and names[0].startswith("add_float32_"), names
    assert not [f for f in folder.rglob("*") if f.name.startswith(".") or f.suffix == ".tmp"]
    before = {f: f.stat().st_mtime_ns for f in folder.rglob("*") if f.is_file()}
    assert finish(start(folder)) == "None"
    assert {f: f.stat().st_mtime_ns for f in folder.rglob("*") if f.is_file()} == before, "a third process compiles nothing"


def test_a_folder_deleted_while_a_program_runs(tmp_path):
    folder = tmp_path / "cache"
    between = f"cpu.apply(formulas.subtract, x, x)\nimport shutil; shutil.rmtree({str(folder)!r})"
    assert finish(start(folder, between)) == "None"
    assert len(list(folder.glob("add_float32_*.py"))) == 1 and not list(folder.glob("subtract_*"))


def test_a_private_folder_is_removed_at_the_end(tmp_path):
    (tmp_path / "file").touch()
    private = Path(finish(start(tmp_path / "file" / "cache")))
    assert private.name.startswith("gradloom-") and not private.exists()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_forked_child_leaves_its_parents_private_folder(tmp_path):
    (tmp_path / "file").touch()
    between = """
import os, sys
cpu.apply(formulas.subtract, x, x)
child = os.fork()
if child == 0:
    cpu.apply(formulas.multiply, x, x)
    sys.exit(0)
assert os.waitpid(child, 0)[1] == 0 and cache._private.is_dir()
"""
    private = Path(finish(start(tmp_path / "file" / "cache", between)))
    assert not private.exists()


def test_damaged_compiled_code_is_made_again(tmp_path):
    script = (
        "import numpy as np\nfrom kernels import cpu, formulas\n"
        "x = np.ones(5, np.float32)\nassert (cpu.apply(formulas.add, x, x) == 2).all()\n"
    )
    environment = {**os.environ, "GRADLOOM_CACHE": str(tmp_path), "PYTHONPATH": str(Path(__file__).parents[2])}
    for damage in (b"", b"\x00" * 10):
        subprocess.run([sys.executable, "-c", script], env=environment, check=True)
        stored = list(tmp_path.glob("__pycache__/*.nb[ic]"))
        assert stored
        for path in stored:
            path.write_bytes(damage)
    subprocess.run([sys.executable, "-c", script], env=environment, check=True)
