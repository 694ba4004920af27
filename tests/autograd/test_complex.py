"""Complex numbers: values against NumPy, gradients against finite differences, and what is refused."""

import copy
import operator
import pickle

import numpy as np
import pytest
from cuda_support import needs_cuda

import autograd as ag
from autograd.ops import complex_numbers
from autograd.ops.elementwise import OPERATIONS

DEFINED = [name for name, o in OPERATIONS.items() if complex_numbers.is_defined(o)]
NUMPY = {
    "acos": "arccos", "acosh": "arccosh", "asin": "arcsin", "asinh": "arcsinh", "atan": "arctan", "atanh": "arctanh",
    "pow": "power", "round": "rint",
}  # fmt: skip


def numbers(*shape, seed=0, dtype=np.complex128):
    rng = np.random.default_rng(seed)
    return (rng.normal(size=shape) + 1j * rng.normal(size=shape)).astype(dtype)


def ask(array, device="cpu"):
    return ag.tensor(array, device=device, requires_grad=True)


class TestElementwise:
    def test_what_the_standard_defines_is_defined(self):
        """... for complex numbers; conj, imag and real are functions of their own."""
        wanted = """abs acos acosh add asin asinh atan atanh cos cosh divide equal exp expm1 isfinite isinf isnan log log1p log2
        log10 multiply negative not_equal positive pow reciprocal round sign sin sinh square sqrt subtract tan tanh""".split()
        assert set(wanted) <= set(DEFINED)

    @pytest.mark.parametrize("name", sorted(OPERATIONS))
    def test_values_are_numpys_or_it_is_refused(self, name):
        operation = OPERATIONS[name]
        count = len(operation.formula.inputs)
        if operation.formula.booleans or operation.formula.parameters:
            pytest.skip("has operands of its own")
        operands = [numbers(3, 4, seed=k) for k in range(count)]
        if name not in DEFINED:
            with pytest.raises(TypeError, match="is not defined on complex128"):
                operation(*map(ag.asarray, operands))
            return
        expected = getattr(np, NUMPY.get(name, name), None)
        values = expected(*operands) if expected is not None else operation.formula.evaluate(*operands)
        got = operation(*map(ag.asarray, operands)).numpy()
        assert got.dtype == values.dtype
        np.testing.assert_allclose(got, values, rtol=1e-13, atol=1e-14)

    @pytest.mark.parametrize("name", sorted(set(DEFINED) - set("equal not_equal isfinite isinf isnan round where".split())))
    def test_gradients_to_second_order(self, name):
        operation = OPERATIONS[name]
        if operation.formula.parameters:
            pytest.skip("has parameters")
        operands = [ask(numbers(3, seed=5 + k)) for k in range(len(operation.formula.inputs))]
        if name != "sign":  # which is constant along a ray
            assert ag.gradcheck(operation, operands)
        assert ag.gradgradcheck(operation, operands)

    def test_branch_cuts_are_numpys(self):
        cuts = np.array([-2 + 0j, -2 - 0.0j, 2 + 0j, complex(2, -0.0), 2j, complex(-0.0, 2), -2j, complex(-0.0, -2)])
        for name in "sqrt log asin acos atan asinh acosh atanh".split():
            expected = getattr(np, NUMPY.get(name, name))(cuts)
            np.testing.assert_array_equal(OPERATIONS[name](ag.asarray(cuts)).numpy(), expected)

    @pytest.mark.parametrize("name", "sqrt log log1p asin acos atan asinh acosh atanh".split())
    def test_slopes_on_both_sides_of_branch_cuts_are_mirror_images(self, name):
        real = np.array([-2 + 0j, -0.5 + 0j, 0.5 + 0j, 2 + 0j])
        imaginary = np.array([complex(0, -2), complex(0, -0.5), complex(0, 0.5), complex(0, 2)])

        def slopes(z):
            z = ask(z)
            OPERATIONS[name](z).backward(ag.ones(4, dtype="complex128"))
            return z.grad.numpy()

        np.testing.assert_allclose(slopes(real), slopes(real.conj()).conj(), rtol=1e-13)
        np.testing.assert_allclose(slopes(real), slopes(real + 1e-15j), rtol=1e-13, atol=1e-13)
        if name in ("asin", "asinh", "atan", "atanh"):  # odd functions, so that the slope is even
            np.testing.assert_allclose(slopes(imaginary), slopes(-imaginary), rtol=1e-13)
        np.testing.assert_allclose(slopes(imaginary), slopes(imaginary + 1e-15), rtol=1e-13, atol=1e-13)

    def test_at_zero(self):
        z = ask(np.zeros(2, complex))
        z.abs().sum().backward()
        assert z.grad.tolist() == [0, 0] and ag.sign(z).tolist() == [0, 0]

    def test_powers_at_zero(self):
        z = ask(np.array([0j, 0j, 2j]))
        w = ask(np.array([2 + 0j, 0j, 0j]))
        (z**w).real.sum().backward()
        assert np.isfinite(z.grad.numpy()).all() and np.isfinite(w.grad.numpy()).all()

    def test_numbers_are_weak(self):
        x = ag.tensor([1.0, 2.0])
        assert (x * 1j).dtype == ag.complex64 and (1j * x).dtype == ag.complex64
        assert (x.astype(ag.float64) + 1j).dtype == ag.complex128
        assert (ag.tensor([1, 2]) + 1j).dtype == ag.complex64
        assert (ag.tensor([1j]) * 2.5).dtype == ag.complex64

    @pytest.mark.parametrize(("left", "right", "result"), [
        ("float32", "complex64", "complex64"), ("float64", "complex64", "complex128"), ("float32", "complex128", "complex128"),
        ("int64", "complex64", "complex64"), ("bool", "complex128", "complex128"), ("complex64", "complex128", "complex128"),
    ])  # fmt: skip
    def test_promotion(self, left, right, result):
        a, b = ag.ones(2, dtype=left), ag.ones(2, dtype=right)
        for one, other in ((a, b), (b, a)):
            assert (one + other).dtype == (one * other).dtype == ag.result_type(one, other) == np.dtype(result)

    def test_layouts(self):
        x, y = numbers(4, 6), numbers(6, seed=1)
        for a in (x, x.T.copy().T, x[::-1, ::-2].repeat(2, axis=1), x[:, :6], np.broadcast_to(x[:1], x.shape)):
            np.testing.assert_allclose((ag.asarray(a) * ag.asarray(y)).numpy(), a * y, rtol=1e-14)
            np.testing.assert_allclose((ag.asarray(a) - ag.asarray(y)).numpy(), a - y, rtol=1e-14)
        assert (ag.ones((0, 3), dtype="complex64") * 1j).shape == (0, 3)
        assert (ag.tensor(2j) * ag.tensor(2j)).item() == -4

    def test_in_place(self):
        z = ag.tensor([1 + 1j, 2])
        z += 1
        z *= 2j
        assert z.tolist() == [-2 + 4j, 6j]
        z[0] = 5
        z[z == 5] = 3 + 1j
        assert z.tolist() == [3 + 1j, 6j]
        with pytest.raises(TypeError):
            x = ag.ones(2)
            x *= 1j

    @pytest.mark.parametrize("update", [operator.iadd, operator.isub, operator.imul, operator.itruediv, operator.ipow])
    def test_recorded_in_place(self, update):
        found = []
        for run in (update, getattr(operator, update.__name__[1:])):
            z, w, x = (ask(numbers(3, seed=k)) for k in range(3))
            y = run(run(z * 1, w), x)
            y.backward(ag.asarray(numbers(3, seed=3)))
            found.append([y.detach().numpy(), *(t.grad.numpy() for t in (z, w, x))])
        for mine, other in zip(*found, strict=True):
            np.testing.assert_allclose(mine, other, rtol=1e-13)


class TestParts:
    def test_views_share_memory(self):
        z = ag.tensor([1 + 2j, 3 - 1j])
        z.real.fill_(7)
        ag.view_as_real(z)[1, 1] = 9
        assert z.tolist() == [7 + 2j, 7 + 9j]
        pairs = ag.tensor([[1.0, 2.0]])
        ag.view_as_complex(pairs).fill_(3j)
        assert pairs.tolist() == [[0.0, 3.0]]

    def test_odd_memory_is_copied(self):
        floats = np.arange(12.0).reshape(4, 3)
        np.testing.assert_array_equal(ag.view_as_complex(ag.asarray(floats[:, :2])).numpy(), floats[:, 0] + 1j * floats[:, 1])
        np.testing.assert_array_equal(ag.view_as_complex(ag.asarray(floats[:2].T[:, ::-1])).numpy(), floats[1] + 1j * floats[0])

    def test_of_reals(self):
        x = ag.tensor([1.0, -2.0])
        assert ag.real(x) is x and ag.conj(x) is x and ag.imag(x).tolist() == [0, 0]

    @pytest.mark.parametrize(("call", "error", "words"), [
        (lambda: ag.view_as_real(ag.ones(2)), TypeError, "needs complex numbers, got float32"),
        (lambda: ag.view_as_complex(ag.ones(3)), ValueError, r"of shape \(..., 2\), got shape \(3,\)"),
        (lambda: ag.view_as_complex(ag.ones(2, dtype="int64")), TypeError, "needs float32 or float64"),
        (lambda: ag.ones(2, dtype="complex64").astype("float32"), TypeError, "take the real part"),
        (lambda: ag.max(ag.tensor([1j])), TypeError, "max: not defined on complex64"),
        (lambda: ag.sort(ag.tensor([1j])), TypeError, "sort: .*complex64"),
        (lambda: ag.argmax(ag.tensor([1j])), TypeError, "argmax: complex numbers have no order"),
        (lambda: ag.tensor([1j]).argmin(0), TypeError, "argmin: complex numbers have no order"),
        (lambda: ag.searchsorted(ag.tensor([1.0]), 1j), TypeError, "searchsorted: complex numbers have no order"),
        (lambda: ag.tensor([1j]) < 1, TypeError, "less is not defined on complex64"),
        (lambda: ask(numbers(1)).sum().backward(), RuntimeError, "a gradient starts from a real number"),
        (lambda: ag.relu(ag.tensor([1j])), TypeError, "relu is not defined on complex64"),
    ])  # fmt: skip
    def test_refused(self, call, error, words):
        with pytest.raises(error, match=words):
            call()

    def test_bool(self):
        assert ag.tensor([0j, 1j]).astype(bool).tolist() == [False, True]

    def test_pickled_and_copied(self):
        z = ask(numbers(2))
        for other in (copy.deepcopy(z), pickle.loads(pickle.dumps(z))):
            assert other.requires_grad and (other == z).all()

    def test_dlpack(self):
        z = ag.asarray(numbers(3))
        assert np.shares_memory(np.from_dlpack(z), z.numpy())
        np.testing.assert_array_equal(ag.from_dlpack(numbers(3)).numpy(), numbers(3))


LINEAR = {
    "sum": lambda z: ag.sum(z, axis=1),
    "sum of all": lambda z: ag.sum(z, keepdims=True),
    "mean": lambda z: ag.mean(z, axis=(0, -1)),
    "running sum": lambda z: ag.cumulative_sum(z, axis=1),
    "transposed": lambda z: ag.transpose(z) * 2j,
    "reshaped": lambda z: ag.reshape(z.T, (-1,)),
    "slice": lambda z: z[1:, ::-2],
    "gathered": lambda z: z[[0, 2, 0]],
    "masked": lambda z: z[ag.tensor([True, False, True])],
    "taken": lambda z: ag.take(z, ag.tensor([1, 1, 3]), axis=1),
    "concat": lambda z: ag.concat([z, z * 1j], axis=1),
    "padded": lambda z: ag.pad(z, ((1, 0), (0, 2))),
    "rolled": lambda z: ag.roll(z, 2, axis=1),
    "flipped": lambda z: ag.flip(z, axis=0),
    "diagonal": lambda z: ag.diagonal(z),
    "triangle": lambda z: ag.tril(z),
    "broadcast": lambda z: ag.broadcast_to(z[:, :1], (3, 5)),
    "where": lambda z: ag.where(ag.tensor([True, False, True, True]), z, 2 * z),
    "matrix product": lambda z: z @ z.T,
    "with a vector": lambda z: z @ z[0],
    "with reals": lambda z: z @ ag.ones((4, 2), dtype="float64"),
    "product": lambda z: ag.prod(z, axis=1),
    "product of all": lambda z: ag.prod(z),
    "running product": lambda z: ag.cumulative_prod(z, axis=0),
    "real": lambda z: ag.real(z) * ag.imag(z),
    "conj": lambda z: ag.conj(z) * z,
    "power spectrum": lambda z: ag.abs(ag.fft.fft(z)) ** 2,
    "stack": lambda z: ag.stack([z, ag.exp(z)])[1],
    "repeat": lambda z: ag.repeat(z, 2, axis=0),
    "tile": lambda z: ag.tile(z, (2, 1)),
}


class TestOtherOperations:
    @pytest.mark.parametrize("name", LINEAR)
    def test_gradients_to_second_order(self, name):
        z = ask(numbers(3, 4))
        assert ag.gradcheck(LINEAR[name], z)
        assert ag.gradgradcheck(LINEAR[name], z)

    @needs_cuda
    @pytest.mark.parametrize("name", sorted(set(LINEAR) - {"where", "with reals"}))  # which have an operand on the CPU
    def test_the_gpu_agrees(self, name):
        here, there = ask(numbers(3, 4, dtype=np.complex64)), ask(numbers(3, 4, dtype=np.complex64), "cuda")
        a, b = LINEAR[name](here), LINEAR[name](there)
        np.testing.assert_allclose(b.detach().cpu().numpy(), a.detach().numpy(), rtol=2e-5, atol=2e-6)
        for out in (a, b):
            (out.abs() ** 2).sum().backward()
        np.testing.assert_allclose(there.grad.cpu().numpy(), here.grad.numpy(), rtol=1e-4, atol=1e-5)

    def test_values(self):
        z = numbers(3, 4)
        t = ag.asarray(z)
        for name in ("sum", "prod", "mean"):
            for axis in (None, 0, 1, (0, 1)):
                np.testing.assert_allclose(getattr(ag, name)(t, axis=axis).numpy(), getattr(z, name)(axis=axis), rtol=1e-13)
        np.testing.assert_allclose(ag.cumulative_prod(t, axis=1).numpy(), np.cumprod(z, axis=1), rtol=1e-13)
        np.testing.assert_allclose((t @ t.T).numpy(), z @ z.T, rtol=1e-13)
        assert ag.prod(ag.ones((0, 2), dtype="complex64"), axis=0).tolist() == [1, 1]

    def test_products_of_nothing_stay_in_the_graph(self):
        z = ask(numbers(3, 0))
        ag.prod(z, axis=1).abs().sum().backward()
        assert z.grad.shape == (3, 0) and ag.prod(z, axis=1).tolist() == [1, 1, 1]

    def test_products_of_one_have_memory_of_their_own(self):
        z = ag.tensor([[2j], [3 + 1j]])
        for product in (ag.prod(z, axis=1), ag.prod(z, axis=()), ag.cumulative_prod(z, axis=1)):
            product += 1
        assert z.tolist() == [[2j], [3 + 1j]]

    def test_truth(self):
        t = ag.tensor([[0j, 1j], [0, 0]])
        assert ag.any(t, axis=1).tolist() == [True, False] and ag.count_nonzero(t).item() == 1 and not ag.all(t)
        assert [i.tolist() for i in ag.nonzero(t)] == [[0], [1]]

    def test_sets(self):
        z = np.array([2 + 1j, 1 + 5j, 2 - 1j, 2 + 1j, complex("nan"), 1 + 5j])
        found = ag.unique_all(ag.asarray(z))
        np.testing.assert_array_equal(found.values.numpy(), np.unique(z, equal_nan=False))
        assert found.counts.tolist() == [2, 1, 2, 1]
        np.testing.assert_array_equal(found.values.numpy()[found.inverse_indices.numpy()], z)
        assert ag.isin(ag.asarray(z), ag.tensor([1 + 5j, 2 + 1j])).tolist() == [True, True, False, True, False, True]

    def test_closeness(self):
        z = ag.asarray(numbers(3))
        assert ag.allclose(z, z * (1 + 1e-9)) and not ag.allclose(z, z * 1.1) and ag.array_equal(z, z)
        assert ag.nan_to_num(ag.tensor([complex("nan+1j"), complex("1+nanj")])).tolist() == [1j, 1]

    def test_creation(self):
        assert ag.linspace(0, 1j, 3).tolist() == [0, 0.5j, 1j] and ag.full((2,), 1j).dtype == ag.complex64
        assert ag.eye(2, dtype=complex).tolist() == [[1, 0], [0, 1]] and ag.asarray([1, 2j], dtype="complex128").tolist() == [1, 2j]
        assert ag.tensor([1.0, 2.0], dtype="complex64").tolist() == [1, 2] and ag.zeros_like(ag.tensor([1j])).tolist() == [0]
        assert repr(ag.tensor(1j)) == "tensor(0.+1.j, dtype=complex64)"


class TestGradients:
    def test_a_real_operand_gets_a_real_gradient(self):
        x = ag.tensor([1.0, 2.0], requires_grad=True)
        (x * (1 + 2j)).imag.sum().backward()
        assert x.grad.dtype == ag.float32 and x.grad.tolist() == [2, 2]

    def test_descent(self):
        """The gradient points uphill: |z - c|^2 falls along its negative."""
        z, c = ask(numbers(3)), numbers(3, seed=1)
        for _ in range(60):
            (g,) = ag.gradients((ag.abs(z - c) ** 2).sum(), z)
            z = (z - 0.2 * g).detach().requires_grad_()
        np.testing.assert_allclose(z.detach().numpy(), c, atol=1e-9)

    def test_accumulation(self):
        z = ask(numbers(3))
        for _ in range(2):
            (z * z + z).real.sum().backward()
        np.testing.assert_allclose(z.grad.numpy(), 2 * (2 * numbers(3) + 1).conj(), rtol=1e-14)

    def test_against_pytorch(self):
        torch = pytest.importorskip("torch")
        z, w = numbers(3), numbers(3, seed=1)
        ours, theirs = (ask(z), ask(w)), tuple(torch.tensor(a, requires_grad=True) for a in (z, w))
        for module, (a, b) in ((ag, ours), (torch, theirs)):
            out = module.sqrt(a * b.conj()) / (1 + module.abs(b)) + module.exp(a).real * b**3 + module.tanh(a / b)
            (out.abs() ** 2).sum().backward()
        for mine, other in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(mine.grad.numpy(), other.grad.numpy(), rtol=1e-12)

    def test_hooks_and_retained(self):
        z = ask(numbers(2))
        w = operator.mul(z, 2j)
        w.retain_grad()
        w.register_hook(lambda g: g * 1j)
        w.real.sum().backward()
        assert w.grad.tolist() == [1j, 1j] and z.grad.tolist() == [2, 2]
