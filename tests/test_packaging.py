"""The packages as a whole: what imports what, how fast, the name that collides, and the doctor."""

import ast
import os
import pkgutil
import re
import shutil
import subprocess
import sys
import time
import tomllib
import warnings
from pathlib import Path

import pytest

import autograd
import kernels
import nn
from autograd import collision, doctor

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = (autograd, kernels, nn)

# What each package must never import, at no depth and under no condition. Imports only point down.
FORBIDDEN = {
    "kernels": {"autograd", "nn", "bench", "learn", "tests"},
    "autograd": {"nn", "bench", "learn", "tests", "numba"},
    "nn": {"bench", "learn", "tests", "numba"},
}


def run_python(*arguments, path=(ROOT,), cwd=ROOT, **environment):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, path)), **environment}
    return subprocess.run(
        [sys.executable, *arguments], cwd=cwd, env=environment, capture_output=True, text=True, timeout=300, check=False
    )


def sources(package):
    return sorted((ROOT / package).rglob("*.py"))


def imported_by(path):
    """The top-level packages that a file imports anywhere, also inside functions."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield node.module.partition(".")[0]


@pytest.mark.parametrize("package", FORBIDDEN)
def test_imports_never_point_up(package):
    found = {str(p.relative_to(ROOT)): set(imported_by(p)) & FORBIDDEN[package] for p in sources(package)}
    assert {file: names for file, names in found.items() if names} == {}


@pytest.mark.parametrize("package", FORBIDDEN)
def test_every_folder_is_a_package(package):
    """A folder without __init__.py would be left out of what is installed."""
    assert [str(p.parent) for p in sources(package) if not (p.parent / "__init__.py").exists()] == []


def modules():
    for package in PACKAGES:
        yield package.__name__
        for found in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
            if not found.name.endswith(".__main__"):
                yield found.name


def test_every_module_imports_and_says_what_it_is_for():
    """In a process of its own: what has been imported must not change what other tests see."""
    code = f"""
import importlib, os
for name in {list(modules())!r}:
    module = importlib.import_module(name)
    hands_on_only = os.path.basename(module.__file__) == "__init__.py" and not os.path.getsize(module.__file__)
    assert module.__doc__ or hands_on_only, f"{{name}} does not say what it is for"
    missing = [n for n in getattr(module, "__all__", ()) if not hasattr(module, n)]
    assert not missing, f"{{name}} promises {{missing}}"
"""
    result = run_python("-W", "error", "-c", code)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_a_module_does_not_hide_the_function_of_its_name():
    """`kernels.cpu.softmax` is the function, whoever has imported the module of that name before."""
    code = f"""
import importlib, types
from kernels import cpu
for name in {[name for name in modules() if name.startswith("kernels.cpu.")]!r}:
    importlib.import_module(name)
print([name for name in cpu.__all__ if isinstance(getattr(cpu, name), types.ModuleType)])
"""
    result = run_python("-c", code)
    assert (result.stdout.strip(), result.stderr) == ("[]", "")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="one fresh process per module takes too long without fork")
def test_modules_import_in_any_order():
    """No module that users begin with needs another to have been imported before it."""
    first = [name for name in modules() if name.count(".") < 2]
    code = f"""
import importlib, os, sys, traceback, numpy
for name in {first!r}:
    if not os.fork():
        try:
            importlib.import_module(name)
        except BaseException:
            print(name, traceback.format_exc(), file=sys.stderr)
        sys.stderr.flush()
        os._exit(0)
    os.wait()
"""
    result = run_python("-W", "error", "-c", code)
    assert (result.returncode, result.stderr) == (0, "")


def test_import_loads_no_compiler():
    """Numba and everything else that takes long to import is loaded when the first kernel runs."""
    heavy = {"numba", "llvmlite", "scipy", "sklearn", "matplotlib", "torch", "tqdm", "safetensors", "pytest"}
    code = f"import sys, autograd, nn, kernels; print(sorted({heavy!r} & sys.modules.keys()))"
    result = run_python("-c", code)
    assert result.stdout.strip() == "[]", result.stdout + result.stderr


def test_nothing_is_printed_and_no_warning_given():
    code = "import autograd as ag, nn; nn.Linear(3, 2)(ag.ones((4, 3))).sum().backward()"
    result = run_python("-W", "error", "-c", code)
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_optional_packages_are_only_optional():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    needed = {requirement.split(">")[0] for requirement in project["dependencies"]}
    assert needed == {"numpy", "numba"}
    allowed = needed | {"llvmlite", *FORBIDDEN}  # numba brings llvmlite
    for package in FORBIDDEN:
        for path in sources(package):
            for node in ast.parse(path.read_text(encoding="utf-8")).body:  # at the top level: on import
                if isinstance(node, ast.Import) or (isinstance(node, ast.ImportFrom) and not node.level):
                    names = [a.name for a in node.names] if isinstance(node, ast.Import) else [node.module]
                    extra = {n.partition(".")[0] for n in names} - allowed - sys.stdlib_module_names
                    assert not extra, f"{path} needs {extra}, which only an extra installs"


# --- the name that HIPS autograd has too ---------------------------------------------------------------------------


def test_collision_check_is_cheap():
    best = min(timed(collision.check) for _ in range(20))
    assert best < 1e-3


def timed(function):
    begin = time.perf_counter()
    function()
    return time.perf_counter() - begin


@pytest.fixture
def mixed(tmp_path):
    """A site-packages folder with gradloom's packages, and beside them files as HIPS autograd installs them."""
    for package in FORBIDDEN:
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "autograd" / "numpy").mkdir()
    (tmp_path / "autograd" / "numpy" / "numpy_boxes.py").touch()
    (tmp_path / "autograd" / "differential_operators.py").touch()
    installed = tmp_path / "autograd-1.9.1.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: autograd\nVersion: 1.9.1\n")
    (installed / "RECORD").write_text("autograd/__init__.py,,\nautograd/differential_operators.py,,\n")
    return tmp_path


def test_import_warns_where_hips_lies_underneath(mixed):
    result = run_python("-c", "import autograd; print(autograd.tensor([1.0]).sum())", path=[mixed], cwd=mixed)
    assert result.returncode == 0, result.stderr
    assert "NameCollisionWarning: HIPS autograd is installed in the same folder" in result.stderr


@pytest.mark.parametrize("code", ["from autograd.collision import check; check()", "import nn"])
def test_clear_error_where_hips_lies_on_top(mixed, code):
    (mixed / "autograd" / "__init__.py").write_text("from .differential_operators import *\n")
    result = run_python("-c", code, path=[mixed], cwd=mixed)
    assert "ImportError: gradloom needs its own package 'autograd', but HIPS autograd was installed over it" in result.stderr


def test_nn_names_a_foreign_autograd(mixed):
    """HIPS autograd is found first on the path, in a folder of its own, as it hides an editable install of gradloom."""
    for path in (mixed / "autograd").glob("*.py"):
        path.unlink()
    shutil.rmtree(mixed / "nn")
    (mixed / "autograd" / "__init__.py").touch()
    result = run_python("-c", "import nn", path=[mixed, ROOT], cwd=mixed)
    assert "ImportError" in result.stderr
    assert "gradloom" in result.stderr.splitlines()[-1]


@pytest.mark.parametrize("on_top", [False, True])
def test_doctor_names_the_other_distribution(mixed, on_top):
    if on_top:
        (mixed / "autograd" / "__init__.py").write_text("from .differential_operators import *\n")
    result = run_python("-m", "autograd", "doctor", path=[mixed], cwd=mixed)
    assert result.returncode == 1, result.stderr
    assert "PROBLEM: the installed distribution 'autograd 1.9.1' also has an import package 'autograd'" in result.stdout
    assert "PROBLEM: files of HIPS autograd lie among gradloom's" in result.stdout
    assert ("import autograd gives another package" in result.stdout) == on_top
    assert "Give each an environment of its own" in result.stdout


# --- the doctor ----------------------------------------------------------------------------------------------------


def test_doctor_reports():
    result = run_python("-m", "autograd", "doctor")
    rows = dict(line.split("  ", 1) for line in result.stdout.splitlines() if "  " in line)
    expected = ("gradloom", "python", "numpy", "numba", "llvmlite", "processor", "threads", "threading layer", "kernel cache")
    assert [name for name in expected if name not in rows] == []
    assert rows["device cpu"].strip() == "ready"
    assert rows["a matrix product"].strip() == "right"
    assert [name for name in ("numba-cuda", "compiler", "driver", "simulator") if f"cuda: {name}" not in rows] == []
    assert result.returncode == bool(doctor.collisions()), result.stdout


def test_doctor_runs_a_kernel_on_every_cuda_device():
    pytest.importorskip("greenlet")
    result = run_python("-m", "autograd", "doctor", GRADLOOM_CUDA="sim:2")
    rows = {name: text.strip() for name, text in (line.split("  ", 1) for line in result.stdout.splitlines() if "  " in line)}
    assert rows["device cuda"] == "ready" and rows["cuda: simulator"] == "in use (GRADLOOM_CUDA=sim)"
    for number in (0, 1):
        assert "simulator" in rows[f"cuda:{number}"] and "sm_90" in rows[f"cuda:{number}"]
        assert rows[f"a kernel on cuda:{number}"] == "right"


def test_doctor_says_that_cuda_is_switched_off():
    result = run_python("-m", "autograd", "doctor", GRADLOOM_CUDA="off")
    assert re.search(r"^cuda: devices +none: GRADLOOM_CUDA=off switches CUDA off", result.stdout, re.MULTILINE)
    assert result.returncode == bool(doctor.collisions()), result.stdout


@pytest.mark.parametrize(
    ("installed", "compiles", "driver_found", "missing", "problems"),
    [
        (None, "comes with numba-cuda", None, "numba-cuda is not installed: pip install", []),
        ("0.30", "works", None, "no CUDA driver", []),
        ("0.30", "works", "13.0", "the CUDA driver found no device", ["there is a CUDA driver, but no device to use: the CUDA driver found"]),
    ],
)  # fmt: skip
def test_doctor_says_what_a_gpu_needs(monkeypatch, installed, compiles, driver_found, missing, problems):
    """Step by step: the package, the compiler, the driver, a device."""
    from kernels import report
    from kernels.cuda import driver

    monkeypatch.delenv("GRADLOOM_CUDA", raising=False)
    monkeypatch.setattr(report, "_version", lambda name: installed)
    monkeypatch.setattr(report, "cuda_compiler", lambda: compiles)
    monkeypatch.setattr(report, "cuda_driver", lambda: driver_found)
    monkeypatch.setattr(driver, "state", lambda: driver.ABSENT)
    monkeypatch.setattr(driver, "why_absent", lambda: missing)
    rows, found = report.cuda()
    rows = dict(rows)
    assert rows["cuda: numba-cuda"] == (installed or f"not installed: {driver.INSTALL}")
    assert rows["cuda: compiler"] == compiles
    assert rows["cuda: driver"] == (
        f"for CUDA {driver_found}" if driver_found else "none found: a GPU needs NVIDIA's display driver"
    )
    assert rows["cuda: devices"] == f"none: {missing}"
    assert len(found) == len(problems) and all(map(str.startswith, found, problems))


def test_doctor_reports_a_gpu_that_computes_wrongly(monkeypatch):
    from types import SimpleNamespace

    from kernels import report
    from kernels.cuda import driver, runtime

    gpu = SimpleNamespace(
        device_count=lambda: 1, name=lambda number: "NVIDIA H200", capability=lambda number: (9, 0), is_simulated=False,
        memory_info=lambda number: (100 << 30, 140 << 30),
    )  # fmt: skip
    monkeypatch.setattr(driver, "state", lambda: driver.HARDWARE)
    monkeypatch.setattr(runtime, "current", lambda: gpu)
    monkeypatch.setattr(report, "kernel_works", lambda device: "wrong: a sum of two arrays differs")
    monkeypatch.setattr(report, "cuda_compiler", lambda: "does not work: no libnvvm")
    rows, problems = report.cuda()
    assert dict(rows)["cuda:0"] == "NVIDIA H200, sm_90, 140.0 GiB of memory, 100.0 free"
    assert problems == [
        "a kernel did not run as it should on cuda:0: wrong: a sum of two arrays differs",
        "kernels for the GPU cannot be compiled: does not work: no libnvvm",
    ]
    monkeypatch.setattr(runtime, "current", lambda: 1 / 0)
    assert report.cuda()[1][0].startswith("device cuda does not start: ZeroDivisionError")


def test_doctor_reports_a_cache_that_is_refused(tmp_path):
    if not hasattr(os, "getuid"):
        pytest.skip("folders here have no permission bits")
    open_to_all = tmp_path / "cache"
    open_to_all.mkdir()
    open_to_all.chmod(0o777)
    result = run_python("-m", "autograd", "doctor", GRADLOOM_CACHE=str(open_to_all))
    assert result.returncode == 1
    assert f"PROBLEM: the kernel cache {open_to_all} is not used (refused: it belongs to another user" in result.stdout


def test_doctor_needs_a_command():
    result = run_python("-m", "autograd")
    assert result.returncode == 2
    assert "doctor" in result.stderr


def test_warning_class_is_shown_by_default():
    with warnings.catch_warnings(record=True) as seen:
        warnings.resetwarnings()
        warnings.warn("x", collision.NameCollisionWarning, stacklevel=1)
    assert len(seen) == 1
