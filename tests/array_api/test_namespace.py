"""The namespace as the standard wants it: names, signatures, inspection, and the array object's attributes."""

import inspect
from pathlib import Path

import numpy as np
import pytest
from array_api_support import examples, strict, xps
from hypothesis import given

import autograd as ag
from autograd.tensor import Tensor

P = inspect.Parameter
SKIPS = Path(__file__).parents[1] / "array_api_skips.txt"

NOT_OF_THE_STANDARD = frozenset(
    """__version__ Device ArrayAPIStrictFlags set_array_api_strict_flags get_array_api_strict_flags
    reset_array_api_strict_flags""".split()
)
STANDARD = sorted(set(strict.__all__) - NOT_OF_THE_STANDARD - {"linalg", "fft"})
THERE = [name for name in STANDARD if hasattr(ag, name)]
FUNCTIONS = [n for n in THERE if callable(getattr(strict, n)) and not isinstance(getattr(strict, n), type)]
ARRAY = type(strict.asarray(1.0))
METHODS = [n for n in vars(ARRAY) if callable(vars(ARRAY)[n]) and (n.startswith("__") or n == "to_device")]
# In-place matrix products change shapes; the standard has none, and Python makes `x @= y` of `x = x @ y`.
METHODS = [n for n in METHODS if n not in ("__imatmul__", "__new__", "__hash__", "__repr__", "__str__", "__buffer__", "__array__", "__iter__", "__len__")]


def differences(ours, theirs):
    """Arguments of the reference's signature that ours does not take the same way."""
    mine, found = list(ours.parameters.values()), []
    for place, parameter in enumerate(theirs.parameters.values()):
        if parameter.kind is P.KEYWORD_ONLY:
            own = ours.parameters.get(parameter.name)
            if own is None or own.kind not in (P.KEYWORD_ONLY, P.POSITIONAL_OR_KEYWORD):
                found.append(parameter.name)
        elif parameter.kind is not P.VAR_KEYWORD:
            own = mine[place] if place < len(mine) else None
            named = parameter.kind is P.POSITIONAL_OR_KEYWORD
            if own is None or own.kind is not parameter.kind or (named and own.name != parameter.name):
                found.append(parameter.name)
    return found


def test_names_of_the_standard_are_there():
    missing = {name for name in STANDARD if not hasattr(ag, name)}
    assert not missing, f"names of the standard that autograd lacks: {sorted(missing)}"


@pytest.mark.parametrize("name", FUNCTIONS)
def test_signatures_of_functions(name):
    ours, theirs = inspect.signature(getattr(ag, name)), inspect.signature(getattr(strict, name))
    assert not differences(ours, theirs), f"{name}{ours} beside the standard's {name}{theirs}"


@pytest.mark.parametrize("extension", ["linalg", "fft"])
def test_signatures_of_extensions(extension):
    if not hasattr(ag, extension):
        pytest.skip(f"there is no autograd.{extension} yet")
    for name in getattr(strict, extension).__all__:
        function = getattr(getattr(ag, extension), name)
        ours, theirs = inspect.signature(function), inspect.signature(getattr(getattr(strict, extension), name))
        assert not differences(ours, theirs), f"{extension}.{name}{ours} beside the standard's {theirs}"


@pytest.mark.parametrize("name", METHODS)
def test_signatures_of_methods(name):
    if name == "__complex__":
        assert complex(ag.tensor(2.0)) == 2
    ours, theirs = inspect.signature(getattr(ag.zeros(2), name)), inspect.signature(getattr(strict.zeros(2), name))
    named = [p.name for p in theirs.parameters.values() if p.kind is P.KEYWORD_ONLY and not p.name.startswith("_")]
    assert all(n in ours.parameters for n in named), (ours, theirs)
    places = [p for p in ours.parameters.values() if p.kind in (P.POSITIONAL_ONLY, P.POSITIONAL_OR_KEYWORD)]
    wanted = [p for p in theirs.parameters.values() if p.kind in (P.POSITIONAL_ONLY, P.POSITIONAL_OR_KEYWORD)]
    assert len(places) == len(wanted) - (name == "to_device"), (ours, theirs)


def test_signatures_of_formulas_can_be_read():
    assert str(inspect.signature(ag.add)) == "(x1, x2, /)" and str(inspect.signature(ag.exp)) == "(x, /)"
    assert "negative_slope" in str(inspect.signature(ag.leaky_relu))
    with pytest.raises(AttributeError, match="elementwise operation add has no attribute 'nonsense'"):
        ag.add.nonsense  # noqa: B018


def test_array_namespace():
    x = ag.zeros(2)
    assert x.__array_namespace__() is ag is x.__array_namespace__(api_version="2025.12")
    assert ag.__array_api_version__ == "2025.12"
    with pytest.raises(ValueError, match="version '1999.1' of the Array API standard is not supported"):
        x.__array_namespace__(api_version="1999.1")


def test_inspection():
    info = ag.__array_namespace_info__()
    assert set(info.capabilities()) == {"boolean indexing", "data-dependent shapes", "max dimensions"}
    assert info.default_device() == "cpu" and info.devices()[0] == "cpu" and isinstance(info.devices(), tuple)
    assert info.default_dtypes(device="cpu")["real floating"] == ag.zeros(2).dtype
    assert info.default_dtypes()["integral"] == ag.asarray([1]).dtype
    assert info.default_dtypes()["indexing"] == ag.argmax(ag.zeros(2)).dtype
    assert info.dtypes(kind="real floating") == {"float32": ag.float32, "float64": ag.float64}
    assert info.dtypes(kind=("bool", "unsigned integer")).keys() == {"bool", "uint8", "uint16", "uint32", "uint64"}
    assert all(getattr(ag, name) == dtype for name, dtype in info.dtypes(device="cpu").items())
    for call in (info.dtypes, info.default_dtypes):
        with pytest.raises(ValueError, match="unknown device 'tpu'"):
            call(device="tpu")


def test_constants():
    assert ag.pi == np.pi and ag.e == np.e and ag.inf == np.inf and ag.nan != ag.nan and ag.newaxis is None


def test_max_dimensions_are_what_is_said():
    many = ag.__array_namespace_info__().capabilities()["max dimensions"]
    assert (ag.ones((1,) * many) + ag.ones((1,) * many)).ndim == many


def test_devices():
    x = ag.zeros(2)
    assert x.to_device("cpu") is x and x.device == x.to_device(x.device, stream=None).device
    with pytest.raises(ValueError, match="streams cannot be chosen"):
        x.to_device("cpu", stream=1)
    for device in ag.__array_namespace_info__().devices():
        there = ag.ones(2, device=device)
        assert there.device == device == there.to_device(device).device == ag.asarray(there).device
        assert ag.astype(x, ag.float64, device=device).device == device
        assert ag.broadcast_arrays(there, there)[0].device == device
        assert ag.from_dlpack(there).device == device and ag.from_dlpack(there, device="cpu").device == "cpu"
        with pytest.raises(BufferError, match="requires grad"):
            ag.from_dlpack(ag.ones(2, device=device, requires_grad=True))


def test_numbers_of_0d_tensors():
    assert complex(ag.tensor(1.5)) == 1.5 and float(ag.tensor(2)) == 2.0 and int(ag.tensor(3)) == 3
    assert [10, 20][ag.tensor(1)] == 20 and bool(ag.tensor(True))


def test_hypothesis_finds_everything_it_needs():
    assert xps.api_version >= "2021.12" and xps.name == "autograd"


@examples
@given(xps.arrays(xps.real_dtypes() | xps.boolean_dtypes(), xps.array_shapes()))
def test_hypothesis_draws_tensors(x):
    assert isinstance(x, Tensor) and x.dtype in ag.__array_namespace_info__().dtypes().values()


def test_skips_are_listed_with_reasons():
    reason = ""
    for line in SKIPS.read_text().splitlines():
        if line.startswith("#"):
            reason = line
        elif line.strip():
            assert line.startswith("array_api_tests/") and "::" in line and len(reason) > 20, line
