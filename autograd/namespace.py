"""What the namespace says about itself: the Python Array API standard's inspection functions."""

from __future__ import annotations

from typing import Any

import numpy as np

from autograd import cuda, dtypes

ARRAY_API_VERSION = "2025.12"
_KNOWN_VERSIONS = ("2021.12", "2022.12", "2023.12", "2024.12", ARRAY_API_VERSION)


class NamespaceInfo:
    """What this namespace can do, by the standard's names: see `autograd.__array_namespace_info__`."""

    def capabilities(self) -> dict[str, Any]:
        """Which optional parts of the standard there are."""
        return {"boolean indexing": True, "data-dependent shapes": True, "max dimensions": 64}

    def default_device(self) -> str:
        """Where new tensors are made."""
        return "cpu"

    def default_dtypes(self, *, device: str | None = None) -> dict[str, np.dtype]:
        """The dtypes that new tensors get by default."""
        _check_device(device)
        return {
            "real floating": dtypes.default_float,
            "complex floating": dtypes.default_complex,
            "integral": dtypes.default_int,
            "indexing": dtypes.default_int,
        }

    def devices(self) -> tuple[str, ...]:
        """The devices there are: "cpu", and "cuda:0", ... where there are GPUs."""
        count = cuda.device_count() if cuda.is_available() else 0
        return ("cpu", *(f"cuda:{k}" for k in range(count)))

    def dtypes(self, *, device: str | None = None, kind: str | tuple[str, ...] | None = None) -> dict[str, np.dtype]:
        """The dtypes by name, all or those of a kind (see `isdtype`); every device has the same."""
        _check_device(device)
        found = sorted(dtypes.SUPPORTED, key=lambda d: ("biufc".index(d.kind), d.itemsize))
        return {d.name: d for d in found if kind is None or dtypes.isdtype(d, kind)}


def _check_device(device: str | None) -> None:
    from kernels import backend_for

    if device is not None:
        backend_for(device)  # says what is wrong with it


def namespace_info() -> NamespaceInfo:
    """What the namespace can do: its devices, dtypes, defaults and capabilities.

    >>> import autograd as ag
    >>> ag.__array_namespace_info__().default_device()
    'cpu'
    """
    return NamespaceInfo()


def array_namespace(x: Any, /, *, api_version: str | None = None) -> Any:
    """`__array_namespace__`: the module `autograd`, which has the functions of the standard.

    Raises:
        ValueError: a version of the standard is asked for that this is not.
    """
    import autograd

    if api_version is not None and api_version not in _KNOWN_VERSIONS:
        raise ValueError(
            f"__array_namespace__: version {api_version!r} of the Array API standard is not supported; these are: "
            f"{', '.join(_KNOWN_VERSIONS)}"
        )
    return autograd
