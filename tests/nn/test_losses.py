"""Losses as functions and modules: against NumPy written out here, PyTorch where it is installed, and gradcheck."""

import numpy as np
import pytest

import autograd as ag
import nn
import nn.functional as F

RNG = np.random.default_rng(0)
LOGITS = RNG.normal(size=(6, 4))
CLASSES = np.array([0, 3, 1, 2, 3, 0])
PROBABILITIES = RNG.dirichlet(np.ones(4), 6)
WEIGHT = np.array([0.5, 1.0, 2.0, 0.25])
REDUCTIONS = ("mean", "sum", "none")


def reduced(losses, reduction):
    return {"mean": np.mean, "sum": np.sum, "none": np.asarray}[reduction](losses)


def log_softmax(x, axis=-1):
    x = x - x.max(axis, keepdims=True)
    return x - np.log(np.exp(x).sum(axis, keepdims=True))


def softplus(x):
    return np.logaddexp(0, x)


# --- of numbers ------------------------------------------------------------------------------------------------------

A = np.array([[-3.0, -0.5, 0.0], [0.25, 1.0, 40.0]])
B = np.array([[1.0, -0.25, 0.0], [2.5, 1.0, -1.0]])
D = np.abs(A - B)

NUMBERS = [
    ("MSELoss", {}, D**2),
    ("L1Loss", {}, D),
    ("HuberLoss", {"delta": 0.5}, np.where(D < 0.5, D**2 / 2, 0.5 * (D - 0.25))),
    ("SmoothL1Loss", {"beta": 0.5}, np.where(D < 0.5, D**2, D - 0.25)),
    ("SmoothL1Loss", {"beta": 0.0}, D),
]


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize(("name", "options", "losses"), NUMBERS)
def test_losses_of_numbers(name, options, losses, reduction):
    module = getattr(nn, name)(reduction=reduction, **options)
    np.testing.assert_allclose(module(ag.tensor(A), ag.tensor(B)).numpy(), reduced(losses, reduction), rtol=1e-12)
    np.testing.assert_allclose(module(ag.tensor(A), B).numpy(), reduced(losses, reduction), rtol=1e-12)
    x, t = (ag.tensor(v[:, 1:], requires_grad=True) for v in (A + 0.1, B))
    assert ag.gradcheck(module, [x, t])


@pytest.mark.parametrize("function", [F.mse_loss, F.l1_loss, F.huber_loss, F.smooth_l1_loss, F.kl_div,
                                      F.binary_cross_entropy, F.binary_cross_entropy_with_logits])  # fmt: skip
def test_shapes_must_be_equal(function):
    with pytest.raises(ValueError, match=r"the input has shape \(3, 1\) and the target \(3,\); they must be the same"):
        function(ag.ones((3, 1)), ag.ones(3))
    with pytest.raises(ValueError, match="reduction is 'mean', 'sum' or 'none', got 'avg'"):
        function(ag.ones(3), ag.ones(3), reduction="avg")


def test_parameters_of_losses_are_checked():
    with pytest.raises(ValueError, match="delta must be positive"):
        F.huber_loss(ag.ones(1), ag.ones(1), delta=0.0)
    with pytest.raises(ValueError, match="beta must not be negative"):
        F.smooth_l1_loss(ag.ones(1), ag.ones(1), beta=-1.0)
    with pytest.raises(ValueError, match="MSELoss: reduction is"):
        nn.MSELoss("max")
    assert repr(nn.MSELoss()) == "MSELoss()" and repr(nn.MSELoss("sum")) == "MSELoss(reduction='sum')"


# --- of probabilities ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("weight", [None, np.array([0.5, 2.0, 1.0, 3.0])])
@pytest.mark.parametrize("pos_weight", [None, np.array([3.0, 0.5, 1.0, 2.0])])
def test_binary_cross_entropy_with_logits(reduction, weight, pos_weight):
    targets = PROBABILITIES
    losses = (pos_weight if pos_weight is not None else 1) * targets * softplus(-LOGITS) + (1 - targets) * softplus(LOGITS)
    losses = losses if weight is None else losses * weight
    tensors = [None if w is None else ag.tensor(w) for w in (weight, pos_weight)]
    module = nn.BCEWithLogitsLoss(tensors[0], reduction, tensors[1])
    x, t = ag.tensor(LOGITS, requires_grad=True), ag.tensor(targets, requires_grad=True)
    np.testing.assert_allclose(module(x, t).detach().numpy(), reduced(losses, reduction), rtol=1e-12)
    assert ag.gradcheck(module, [x, t])
    assert list(module.state_dict()) == [k for k, w in (("weight", weight), ("pos_weight", pos_weight)) if w is not None]


def test_binary_cross_entropy_with_logits_is_exact_at_extremes():
    x = ag.tensor([1e4, -1e4, 1e4, -1e4], requires_grad=True)
    losses = F.binary_cross_entropy_with_logits(x, ag.tensor([1.0, 0.0, 0.0, 1.0]), reduction="none")
    assert losses.tolist() == [0.0, 0.0, 1e4, 1e4]
    losses.sum().backward()
    assert x.grad.tolist() == [0.0, 0.0, 1.0, -1.0]


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_binary_cross_entropy(reduction):
    p = np.array([0.1, 0.5, 0.9, 0.3])
    t = np.array([0.0, 1.0, 1.0, 0.25])
    losses = -(t * np.log(p) + (1 - t) * np.log(1 - p))
    x = ag.tensor(p, requires_grad=True)
    module = nn.BCELoss(reduction=reduction)
    np.testing.assert_allclose(module(x, ag.tensor(t)).detach().numpy(), reduced(losses, reduction), rtol=1e-12)
    assert ag.gradcheck(lambda x: module(x, ag.tensor(t)), [x])
    np.testing.assert_allclose(F.binary_cross_entropy(x, t, ag.tensor(2.0), "sum").item(), 2 * losses.sum())


def test_binary_cross_entropy_of_certainties_is_finite():
    x = ag.tensor([0.0, 1.0, 0.0, 1.0], requires_grad=True)
    losses = F.binary_cross_entropy(x, ag.tensor([0.0, 1.0, 1.0, 0.0]), reduction="none")
    assert losses.tolist() == [0.0, 0.0, 100.0, 100.0]
    losses.sum().backward()
    assert np.isfinite(x.grad.numpy()).all()
    with pytest.raises(ValueError, match=r"must be probabilities from 0 to 1, got values from -0.5 to 0.5"):
        F.binary_cross_entropy(ag.tensor([-0.5, 0.5]), ag.ones(2))
    with pytest.raises(ValueError, match=r"weight \(2, 1\) does not broadcast to the losses \(2,\)"):
        F.binary_cross_entropy(ag.tensor([0.5, 0.5]), ag.ones(2), ag.ones((2, 1)))


@pytest.mark.parametrize("reduction", [*REDUCTIONS, "batchmean"])
def test_kl_div(reduction):
    logs, targets = log_softmax(LOGITS), PROBABILITIES.copy()
    targets[0] = [0.0, 0.0, 1.0, 0.0]
    losses = np.where(targets > 0, targets * (np.log(np.where(targets > 0, targets, 1)) - logs), 0)
    expected = losses.sum() / 6 if reduction == "batchmean" else reduced(losses, reduction)
    module = nn.KLDivLoss(reduction)
    x = ag.tensor(logs, requires_grad=True)
    np.testing.assert_allclose(module(x, ag.tensor(targets)).detach().numpy(), expected, rtol=1e-12, atol=1e-15)
    assert ag.gradcheck(lambda x: module(x, ag.tensor(targets)), [x])
    both = F.kl_div(ag.tensor(logs), ag.tensor(np.log(PROBABILITIES)), log_target=True, reduction="sum").item()
    assert np.isclose(both, (PROBABILITIES * (np.log(PROBABILITIES) - logs)).sum(), rtol=1e-12)


# --- of classes ------------------------------------------------------------------------------------------------------


def cross_entropy(x, target, weight=None, ignore_index=-100, reduction="mean", label_smoothing=0.0):
    """The definition, written out for classes in axis 1 of (N, C)."""
    logs = log_softmax(x)
    weight = np.ones(x.shape[1]) if weight is None else weight
    kept = target != ignore_index
    safe = np.where(kept, target, 0)
    own = -logs[np.arange(len(x)), safe] * weight[safe]
    spread = -(logs * weight).sum(1) / x.shape[1]
    losses = np.where(kept, (1 - label_smoothing) * own + label_smoothing * spread, 0)
    return losses.sum() / weight[safe][kept].sum() if reduction == "mean" else reduced(losses, reduction)


OPTIONS = [
    {}, {"weight": WEIGHT}, {"ignore_index": 3}, {"label_smoothing": 0.2},
    {"weight": WEIGHT, "ignore_index": 0, "label_smoothing": 0.1},
]  # fmt: skip


def as_tensors(options):
    return {k: ag.tensor(v) if isinstance(v, np.ndarray) else v for k, v in options.items()}


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("options", OPTIONS)
def test_cross_entropy(options, reduction):
    module = nn.CrossEntropyLoss(reduction=reduction, **as_tensors(options))
    x, t = ag.tensor(LOGITS, requires_grad=True), ag.tensor(CLASSES)
    expected = cross_entropy(LOGITS, CLASSES, reduction=reduction, **options)
    np.testing.assert_allclose(module(x, t).detach().numpy(), expected, rtol=1e-12)
    np.testing.assert_allclose(module(x, CLASSES.astype(np.int32)).detach().numpy(), expected, rtol=1e-12)
    assert ag.gradcheck(lambda x: module(x, t), [x])
    assert ag.gradgradcheck(lambda x: module(x, t), [x])


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("options", OPTIONS)
def test_cross_entropy_with_classes_in_axis_1_of_more(options, reduction):
    x = RNG.normal(size=(2, 4, 3, 5))
    t = RNG.integers(0, 4, (2, 3, 5))
    rows, labels = np.moveaxis(x, 1, -1).reshape(-1, 4), t.reshape(-1)
    expected = np.asarray(cross_entropy(rows, labels, reduction=reduction, **options))
    expected = expected.reshape(t.shape) if reduction == "none" else expected
    result = F.cross_entropy(ag.tensor(x), ag.tensor(t), reduction=reduction, **as_tensors(options))
    np.testing.assert_allclose(result.numpy(), expected, rtol=1e-12)


def test_cross_entropy_of_one_sample():
    loss = F.cross_entropy(ag.tensor(LOGITS[0]), ag.tensor(2), reduction="none")
    assert loss.shape == () and np.isclose(loss.item(), -log_softmax(LOGITS[0])[2], rtol=1e-12)


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("smoothing", [0.0, 0.3])
@pytest.mark.parametrize("weight", [None, WEIGHT])
def test_cross_entropy_with_probabilities(reduction, smoothing, weight):
    target = PROBABILITIES * (1 - smoothing) + smoothing / 4
    losses = -(target * (1 if weight is None else weight) * log_softmax(LOGITS)).sum(1)
    module = nn.CrossEntropyLoss(None if weight is None else ag.tensor(weight), -100, reduction, smoothing)
    x, t = ag.tensor(LOGITS, requires_grad=True), ag.tensor(PROBABILITIES, requires_grad=True)
    np.testing.assert_allclose(module(x, t).detach().numpy(), reduced(losses, reduction), rtol=1e-12)
    assert ag.gradcheck(module, [x, t])


def test_cross_entropy_where_nothing_counts():
    x = ag.tensor(LOGITS, requires_grad=True)
    assert np.isnan(F.cross_entropy(x, ag.full((6,), -100)).item())
    total = F.cross_entropy(x, ag.full((6,), -100), reduction="sum")
    total.backward()
    assert total.item() == 0.0 and not x.grad.numpy().any()
    assert np.isnan(F.cross_entropy(ag.zeros((0, 4)), ag.zeros(0, dtype=ag.int64)).item())


def test_cross_entropy_is_exact_at_extremes():
    x = ag.tensor([[1e4, -1e4], [-1e4, 1e4]], requires_grad=True)
    losses = F.cross_entropy(x, ag.tensor([0, 0]), reduction="none")
    assert losses.tolist() == [0.0, 2e4]
    losses.sum().backward()
    assert x.grad.tolist() == [[0.0, 0.0], [-1.0, 1.0]]


@pytest.mark.parametrize("reduction", REDUCTIONS)
@pytest.mark.parametrize("options", [o for o in OPTIONS if "label_smoothing" not in o])
def test_nll_loss(options, reduction):
    logs = log_softmax(LOGITS)
    module = nn.NLLLoss(reduction=reduction, **as_tensors(options))
    x = ag.tensor(logs, requires_grad=True)
    expected = cross_entropy(LOGITS, CLASSES, reduction=reduction, **options)
    np.testing.assert_allclose(module(x, ag.tensor(CLASSES)).detach().numpy(), expected, rtol=1e-12)
    assert ag.gradcheck(lambda x: module(x, ag.tensor(CLASSES)), [x])
    cube = RNG.normal(size=(2, 4, 3))
    t = RNG.integers(0, 4, (2, 3))
    result = F.nll_loss(ag.tensor(cube), ag.tensor(t), reduction="none").numpy()
    np.testing.assert_allclose(result, -np.take_along_axis(cube, t[:, None], 1)[:, 0])


def test_nll_loss_of_impossible_other_classes():
    x = ag.tensor([[0.0, -np.inf]], requires_grad=True)
    loss = F.nll_loss(x, ag.tensor([0]))
    loss.backward()
    assert loss.item() == 0.0 and x.grad.tolist() == [[-1.0, 0.0]]


@pytest.mark.parametrize("function", [F.cross_entropy, F.nll_loss])
def test_class_losses_explain_what_is_wrong(function):
    x, t = ag.tensor(LOGITS), ag.tensor(CLASSES)
    with pytest.raises(IndexError, match=r"(targets\[1\] is 4|target 4 \(number 1\) is no class).*0 to 3"):
        function(x, ag.tensor([0, 4, 1, 2, 3, 0]))
    with pytest.raises(IndexError, match="-1"):
        function(x, ag.tensor([0, -1, 1, 2, 3, 0]))
    with pytest.raises(ValueError, match=r"\(6, 4\).*\(5,\)"):
        function(x, t[:5])
    with pytest.raises(ValueError, match=r"input of shape \(2, 4, 3\) needs class indices of shape \(2, 3\).*axis 1.*\(2,\)"):
        function(ag.zeros((2, 4, 3)), ag.tensor([0, 1]))
    with pytest.raises(ValueError, match=r"weight has shape \(3,\), expected \(4,\), one per class"):
        function(x, t, ag.ones(3, dtype=ag.float64))
    with pytest.raises(ValueError, match="reduction is 'mean', 'sum' or 'none', got 'avg'"):
        function(x, t, reduction="avg")
    with pytest.raises(TypeError, match=r"targets must be integers"):
        function(x, ag.zeros(6))


def test_cross_entropy_explains_probabilities_and_smoothing():
    with pytest.raises(ValueError, match=r"probabilities must have the logits' shape \(2, 4, 3\), got \(2, 3\), float32"):
        F.cross_entropy(ag.zeros((2, 4, 3)), ag.zeros((2, 3)))
    with pytest.raises(ValueError, match=r"label_smoothing must lie between 0 and 1, got 1.5"):
        nn.CrossEntropyLoss(label_smoothing=1.5)
    with pytest.raises(ValueError, match="label_smoothing must lie between 0 and 1"):
        F.cross_entropy(ag.zeros((2, 4)), ag.tensor([0, 1]), label_smoothing=-0.1)
    with pytest.raises(TypeError, match=r"needs floats|float32 or float64"):
        F.cross_entropy(ag.zeros((2, 4), dtype=ag.int64), ag.tensor([0, 1]))


def test_one_hot():
    assert F.one_hot(ag.tensor([0, 2])).tolist() == [[1, 0, 0], [0, 0, 1]]
    assert F.one_hot([[1], [0]], 2).tolist() == [[[0, 1]], [[1, 0]]]
    assert F.one_hot(ag.zeros(0, dtype=ag.int64), 3).shape == (0, 3)
    with pytest.raises(IndexError, match=r"target 2 \(number 1\) is no class: expected 0 to 1"):
        F.one_hot(ag.tensor([0, 2]), 2)
    with pytest.raises(TypeError, match="must be integers, got float32"):
        F.one_hot(ag.zeros(2))
    with pytest.raises(ValueError, match="num_classes must be given"):
        F.one_hot(ag.zeros(0, dtype=ag.int64))


# --- PyTorch -----------------------------------------------------------------------------------------------------------

TORCH = [
    *[(name, {"reduction": r, **o}, "numbers") for name, o, _ in NUMBERS for r in REDUCTIONS],
    *[("BCEWithLogitsLoss", {"reduction": r, "weight": WEIGHT, "pos_weight": w}, "logits")
      for r in REDUCTIONS for w in (None, WEIGHT)],
    *[("BCELoss", {"reduction": r, "weight": w}, "probabilities") for r in REDUCTIONS for w in (None, WEIGHT)],
    *[("KLDivLoss", {"reduction": r}, "logs") for r in (*REDUCTIONS, "batchmean")],
    *[("CrossEntropyLoss", {"reduction": r, **o}, kind) for r in REDUCTIONS for o in OPTIONS
      for kind in ("classes", "pixels")],
    *[("CrossEntropyLoss", {"reduction": r, "label_smoothing": s, "weight": WEIGHT}, "logits")
      for r in REDUCTIONS for s in (0.0, 0.2)],
    *[("NLLLoss", {"reduction": r, **o}, "classes") for r in REDUCTIONS for o in OPTIONS if "label_smoothing" not in o],
]  # fmt: skip

OPERANDS = {
    "numbers": (A, B),
    "logits": (LOGITS, PROBABILITIES),
    "probabilities": (PROBABILITIES, np.roll(PROBABILITIES, 1, 0)),
    "logs": (log_softmax(LOGITS), PROBABILITIES),
    "classes": (LOGITS, CLASSES),
    "pixels": (RNG.normal(size=(2, 4, 3, 2)), RNG.integers(0, 4, (2, 3, 2))),
}


@pytest.mark.filterwarnings("ignore:reduction. 'mean' divides")
@pytest.mark.parametrize(("name", "options", "kind"), TORCH)
def test_losses_and_gradients_equal_torchs(name, options, kind):
    torch = pytest.importorskip("torch")
    x, t = OPERANDS[kind]
    ours = getattr(nn, name)(**as_tensors(options))
    theirs = getattr(torch.nn, name)(**{k: torch.tensor(v) if isinstance(v, np.ndarray) else v for k, v in options.items()})
    a, b = ag.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    y, z = ours(a, ag.tensor(t)), theirs(b, torch.tensor(t))
    assert tuple(z.shape) == y.shape
    np.testing.assert_allclose(y.detach().numpy(), z.detach().numpy(), rtol=1e-10, atol=1e-12)
    upstream = RNG.normal(size=y.shape)
    y.backward(ag.tensor(upstream))
    z.backward(torch.tensor(upstream))
    np.testing.assert_allclose(a.grad.numpy(), b.grad.numpy(), rtol=1e-9, atol=1e-12)
