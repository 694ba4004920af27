"""Code that was written for the standard, by people who never heard of us, runs on tensors, and gradients flow through it."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import autograd as ag

ROOT = Path(__file__).parents[2]


@pytest.fixture
def x():
    return ag.tensor(np.random.default_rng(0).normal(size=(2, 3, 4)), requires_grad=True)


def values(t):
    return t.detach().numpy()


# --- array-api-compat and array-api-extra -----------------------------------------------------------------------------


def test_array_api_compat(x):
    compat = pytest.importorskip("array_api_compat", reason="array-api-compat is not installed")
    assert compat.array_namespace(x) is ag and compat.is_array_api_obj(x)
    assert compat.device(x) == "cpu" and compat.size(x) == 24 and compat.to_device(x, "cpu") is x


EXTRA = {
    "atleast_nd": (lambda xpx, x: xpx.atleast_nd(x, ndim=5), lambda a: a.reshape(1, 1, 2, 3, 4)),
    "cov": (lambda xpx, x: xpx.cov(x[0, ...]), lambda a: np.cov(a[0])),
    "kron": (lambda xpx, x: xpx.kron(x[0, ...], x[1, ...]), lambda a: np.kron(a[0], a[1])),
    "pad": (lambda xpx, x: xpx.pad(x, ((1, 0), (0, 2), (1, 1))), lambda a: np.pad(a, ((1, 0), (0, 2), (1, 1)))),
    "sinc": (lambda xpx, x: xpx.sinc(x), np.sinc),
    "create_diagonal": (lambda xpx, x: xpx.create_diagonal(x[0, 0, :]), lambda a: np.diag(a[0, 0])),
}


@pytest.mark.parametrize("name", EXTRA)
def test_array_api_extra(x, name):
    xpx = pytest.importorskip("array_api_extra", reason="array-api-extra is not installed")
    call, expected = EXTRA[name]
    got = call(xpx, x)
    assert isinstance(got, ag.Tensor) and got.requires_grad
    assert np.allclose(values(got), expected(values(x)), rtol=1e-12, atol=1e-14)
    assert ag.gradcheck(lambda t: call(xpx, t), [x])


def test_array_api_extra_without_gradients(x):
    xpx = pytest.importorskip("array_api_extra", reason="array-api-extra is not installed")
    assert np.array_equal(values(xpx.isclose(x, x + 1e-12)), np.ones((2, 3, 4), bool))
    assert xpx.one_hot(ag.tensor([0, 2]), 3).tolist() == [[1, 0, 0], [0, 0, 1]]
    assert xpx.default_dtype(ag) == ag.float32


# --- einops -----------------------------------------------------------------------------------------------------------

EINOPS = {
    "rearrange": (lambda e, x: e.rearrange(x, "a b (c d) -> (b a) d c", c=2), (6, 2, 2)),
    "sum": (lambda e, x: e.reduce(x, "a b c -> b", "sum"), (3,)),
    "mean": (lambda e, x: e.reduce(x, "a b (c d) -> a c", "mean", d=2), (2, 2)),
    "max": (lambda e, x: e.reduce(x, "a b c -> a 1 c", "max"), (2, 1, 4)),
    "prod": (lambda e, x: e.reduce(x, "a b c -> a b", "prod"), (2, 3)),
    "repeat": (lambda e, x: e.repeat(x, "a b c -> a (b r) c q", r=2, q=3), (2, 6, 4, 3)),
}


@pytest.mark.parametrize("where", ["einops", "einops.array_api"])
@pytest.mark.parametrize("name", EINOPS)
def test_einops(x, name, where):
    module = pytest.importorskip(where, reason="einops is not installed")
    call, shape = EINOPS[name]
    got = call(module, x)
    assert isinstance(got, ag.Tensor) and got.requires_grad and got.shape == shape
    assert np.allclose(values(got), call(pytest.importorskip("einops"), values(x)), rtol=1e-12)
    assert ag.gradcheck(lambda t: call(module, t), [x])


def test_einops_of_several_tensors(x):
    einops = pytest.importorskip("einops", reason="einops is not installed")
    packed, sizes = einops.pack([x, x[:, 0, :]], "a * c")
    assert packed.shape == (2, 4, 4) and packed.requires_grad
    again = einops.unpack(packed, sizes, "a * c")
    assert np.array_equal(values(again[0]), values(x)) and again[1].shape == (2, 4)
    assert einops.rearrange([x, x], "n a b c -> a n b c").shape == (2, 2, 3, 4)
    assert einops.parse_shape(x, "a _ c") == {"a": 2, "c": 4}
    product = einops.einsum(x, x, "a b c, a d c -> a b d")
    assert np.allclose(values(product), np.einsum("abc,adc->abd", values(x), values(x)))


@pytest.mark.parametrize("order", [
    "import einops, autograd as ag", "import autograd as ag, einops", "import autograd as ag; import einops._backends, einops",
    "import autograd as ag, importlib.util; importlib.util.find_spec('einops'); import einops",
])  # fmt: skip
def test_einops_may_be_imported_before_or_after(order):
    pytest.importorskip("einops", reason="einops is not installed")
    program = f"{order}; print(einops.rearrange(ag.zeros((2, 3)), 'a b -> b a').shape)"
    done = subprocess.run([sys.executable, "-W", "error", "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.stdout == "(3, 2)\n", done.stderr
    assert not done.stderr


def test_importing_autograd_imports_none_of_the_neighbours():
    program = "import sys, autograd; print([n for n in ('einops', 'scipy', 'torch', 'jax', 'sklearn') if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.stdout == "[]\n", done.stderr


# --- SciPy and scikit-learn, which read SCIPY_ARRAY_API when they are imported -------------------------------------------

SCIPY = """
import warnings
import numpy as np
import autograd as ag
import scipy.integrate, scipy.optimize, scipy.special, scipy.stats

warnings.simplefilter("ignore")
a = np.random.default_rng(0).normal(size=(3, 4))
x = ag.tensor(a, requires_grad=True)
CALLS = {
    "logsumexp": lambda t: scipy.special.logsumexp(t, axis=1),
    "softmax": lambda t: scipy.special.softmax(t, axis=1),
    "log_softmax": lambda t: scipy.special.log_softmax(t, axis=1),
    "zscore": lambda t: scipy.stats.zscore(t, axis=0),
    "trapezoid": lambda t: scipy.integrate.trapezoid(t, axis=1),
    "rosen": lambda t: scipy.optimize.rosen(t),
    "moment": lambda t: scipy.stats.moment(t, 3, axis=0),
    "skew": lambda t: scipy.stats.skew(t, axis=0),
    "kurtosis": lambda t: scipy.stats.kurtosis(t, axis=0),
    "hmean": lambda t: scipy.stats.hmean(t * t + 0.5, axis=0),
    "gmean": lambda t: scipy.stats.gmean(t * t + 0.5, axis=0),
    "tmean": lambda t: scipy.stats.tmean(t),
    "variation": lambda t: scipy.stats.variation(t + 5, axis=0),
    "sem": lambda t: scipy.stats.sem(t, axis=0),
}
for name, call in CALLS.items():
    try:
        got, expected = call(x.detach()), call(a)
        assert isinstance(got, ag.Tensor), type(got)
        assert np.allclose(got.numpy(), expected, rtol=1e-10, atol=1e-12), (got, expected)
    except Exception as error:
        print(name, "failed:", type(error).__name__, str(error).splitlines()[0][:200])
        continue
    try:
        assert call(x).requires_grad, "lost the gradient"
        print(name, "gradient" if ag.gradcheck(call, [x]) else "wrong gradient")
    except Exception as error:
        print(name, "value;", type(error).__name__, str(error).splitlines()[0][:200])
"""


SKLEARN = """
import warnings
import numpy as np
import autograd as ag
import sklearn
from sklearn.decomposition import PCA
from sklearn.linear_model import Ridge
from sklearn.metrics import accuracy_score, mean_squared_error, r2_score, mean_absolute_error
from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, StandardScaler, Normalizer

warnings.simplefilter("ignore")
sklearn.set_config(array_api_dispatch=True)
a = np.random.default_rng(0).normal(size=(20, 4))
b = a @ np.arange(4.0) + 0.5
CALLS = {
    "StandardScaler": lambda x, y: StandardScaler().fit_transform(x),
    "MinMaxScaler": lambda x, y: MinMaxScaler().fit_transform(x),
    "MaxAbsScaler": lambda x, y: MaxAbsScaler().fit_transform(x),
    "Normalizer": lambda x, y: Normalizer().fit_transform(x),
    "PCA": lambda x, y: PCA(2, svd_solver="full").fit(x).explained_variance_,
    "Ridge": lambda x, y: Ridge(solver="svd").fit(x, y).coef_,
    "mean_squared_error": lambda x, y: mean_squared_error(y, x[:, 0]),
    "mean_absolute_error": lambda x, y: mean_absolute_error(y, x[:, 0]),
    "r2_score": lambda x, y: r2_score(y, x[:, 0]),
    "accuracy_score": lambda x, y: accuracy_score(y > 0, x[:, 0] > 0),
}
for name, call in CALLS.items():
    try:
        got, expected = call(ag.asarray(a), ag.asarray(b)), call(a, b)
        kind = "tensor" if isinstance(got, ag.Tensor) else type(got).__name__
        got = got.numpy() if isinstance(got, ag.Tensor) else got
        assert np.allclose(got, expected, rtol=1e-6 if name == "accuracy_score" else 1e-9, atol=1e-11), (got, expected)
        print(name, kind)
    except Exception as error:
        print(name, "failed:", type(error).__name__, str(error).splitlines()[0][:300])
"""


def run_with_array_api(program):
    environment = os.environ | {"SCIPY_ARRAY_API": "1", "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stderr[-3000:]
    return dict(line.split(" ", 1) for line in done.stdout.splitlines())


def test_scipy():
    pytest.importorskip("scipy", reason="SciPy is not installed")
    done = run_with_array_api(SCIPY)  # zscore and log_softmax assign into a quotient and into a maximum
    assert done == dict.fromkeys(done, "gradient") and len(done) == 14


def test_scikit_learn():
    pytest.importorskip("sklearn", reason="scikit-learn is not installed")
    done = run_with_array_api(SKLEARN)
    expected = {**dict.fromkeys("StandardScaler MinMaxScaler MaxAbsScaler Normalizer PCA Ridge".split(), "tensor"),
                **dict.fromkeys("mean_squared_error mean_absolute_error r2_score accuracy_score".split(), "float")}  # fmt: skip
    assert done == expected
