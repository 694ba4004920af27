"""`python -m autograd doctor`: versions, threads, cache and devices, and whether another distribution is in the way.

It must run in an environment that is not sound, so it takes nothing from `autograd/__init__.py`: with HIPS autograd
installed over gradloom, that file is not ours.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tomllib
from importlib import metadata

from autograd import collision

PACKAGES = ("autograd", "kernels", "nn")
OPTIONAL = ("numba-cuda", "safetensors", "tqdm", "matplotlib", "scikit-learn")


def version(distribution: str) -> str | None:
    """The installed version of a distribution; None where it is not installed."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def own_version() -> str:
    """gradloom's version: of the checkout this file lies in, else as installed."""
    project = os.path.join(os.path.dirname(_folder()), "pyproject.toml")
    if os.path.exists(project):
        with open(project, "rb") as file:
            return f"{tomllib.load(file)['project']['version']} (a checkout)"
    return version("gradloom") or "not installed, and not a checkout"


def _folder() -> str:
    return os.path.dirname(os.path.abspath(__file__))


def foreign_owners(package: str) -> list[str]:
    """The installed distributions, other than gradloom, that have files in an import package of that name."""
    owners = set(metadata.packages_distributions().get(package, []))
    return sorted(f"{name} {version(name)}" for name in owners if name.lower() != "gradloom")


def collisions() -> list[str]:
    """A sentence for each distribution that wants an import name of ours, and for files that are mixed."""
    problems = []
    for package in PACKAGES:
        for owner in foreign_owners(package):
            problems.append(f"the installed distribution {owner!r} also has an import package {package!r}, as gradloom has")
    if collision.is_mixed(_folder()):
        problems.append(f"files of HIPS autograd lie among gradloom's, in {_folder()}")
    imported = sys.modules.get("autograd")
    first_file = getattr(imported, "__file__", None)
    if not (getattr(imported, "__doc__", None) or "").startswith("gradloom"):
        problems.append(f"import autograd gives another package than gradloom's, from {first_file}")
    return problems


def kernels_work() -> str:
    """ "right", or what went wrong when a few kernels ran."""
    try:
        import numpy as np

        from kernels import backend_for

        cpu = backend_for("cpu")
        a = np.arange(12, dtype=np.float32).reshape(3, 4)
        return "right" if np.array_equal(cpu.matmul(a, a.T), a @ a.T) else "wrong: a small matrix product differs"
    except Exception as error:  # whatever it is, the report goes on
        return f"{type(error).__name__}: {error}"


def report() -> tuple[list[tuple[str, str]], list[str]]:
    """The rows of the report, and the problems."""
    import kernels
    from kernels import report as facts

    problems = collisions()
    folder, state, kept = facts.cache_folder()
    if not kept:
        problems.append(f"the kernel cache {folder} is not used ({state}), so every process compiles its kernels again")
    works = kernels_work()
    if works != "right":
        problems.append(f"a kernel did not run as it should: {works}")
    cuda_rows, cuda_problems = facts.cuda()
    problems += cuda_problems
    rows = [
        ("gradloom", f"{own_version()}, {_folder()}"),
        ("python", f"{platform.python_version()} ({platform.python_implementation()}), {platform.system()} {platform.machine()}"),
        *((name, version(name) or "not installed") for name in ("numpy", "numba", "llvmlite")),
        ("optional packages", ", ".join(f"{name} {version(name)}" for name in OPTIONAL if version(name)) or "none"),
        ("processor", facts.processor()),
        ("threads", f"{kernels.get_num_threads()} of {kernels.available_threads()}"),
        ("threading layer", facts.threading_layer()),
        ("kernel cache", folder),
        ("", state),
        *((f"device {name}", "ready" if state == "ready" else "not here; see below") for name, state in facts.devices().items()),
        ("a matrix product", works),
        *cuda_rows,
    ]
    return rows, problems


def main(arguments: list[str] | None = None) -> int:
    """Print the report; 0 when nothing is wrong, 1 otherwise."""
    parser = argparse.ArgumentParser(prog="python -m autograd", description="gradloom's own tools")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("doctor", help="versions, threads, cache and devices, and whether all is well; exit status 1 if not")
    parser.parse_args(arguments)
    rows, problems = report()
    width = max(len(name) for name, _ in rows)
    for name, text in rows:
        print(f"{name:<{width}}  {text}")
    print()
    if not problems:
        print("All is well.")
        return 0
    for problem in problems:
        print(f"PROBLEM: {problem}.")
    if collisions():
        print(collision.REMEDY)
    return 1
