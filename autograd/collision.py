"""The other distribution that installs an import package called `autograd`, and what happens beside it.

The distribution `autograd` on PyPI (HIPS autograd, which PennyLane, pymoo and lifelines use) has the import name that
gradloom's engine has too. Installing both into one environment lays their files into one folder: the one installed last
owns `autograd/__init__.py`, and uninstalling either breaks the other. pip does not notice, so we do: here when
`autograd` is imported, and in full in `python -m autograd doctor`.
"""

import os
import sys
import warnings

# Files that HIPS autograd has had in every release since 1.2, and gradloom will never have.
_THEIRS = (("differential_operators.py",), ("numpy", "numpy_boxes.py"))

REMEDY = (
    "Give each an environment of its own: uninstall both, delete what is left of the folder, install one of them again."
)


class NameCollisionWarning(UserWarning):
    """Files of gradloom and of HIPS autograd are mixed in one folder."""


def is_mixed(folder: str) -> bool:
    """Whether the package folder `folder` also holds files of HIPS autograd."""
    return any(os.path.exists(os.path.join(folder, *parts)) for parts in _THEIRS)


def check(warn: bool = True) -> None:
    """See whether the `autograd` that was imported is gradloom's, whole and alone; two look-ups of a file.

    Raises:
        ImportError: `import autograd` gives HIPS autograd, whose files lie over gradloom's.

    Warns:
        NameCollisionWarning: gradloom is on top and works, but HIPS autograd's files lie under it and will not; not
            where `warn` is false.
    """
    folder = os.path.dirname(os.path.abspath(__file__))
    if not is_mixed(folder):
        return
    package = sys.modules.get("autograd")
    if package is not None and not (package.__doc__ or "").startswith("gradloom"):  # as autograd/__init__.py begins
        raise ImportError(
            "gradloom needs its own package 'autograd', but HIPS autograd was installed over it, in " + folder + ". "
            "The two cannot share an environment. " + REMEDY
        )
    if not warn:
        return
    warnings.warn(
        "HIPS autograd is installed in the same folder as gradloom's package 'autograd', " + folder + ". gradloom works, "
        "but programs that need HIPS autograd (PennyLane, pymoo, lifelines) do not. " + REMEDY,
        NameCollisionWarning,
        stacklevel=3,
    )
