"""Planted bugs: each is put into a copy of the packages, and `tests/support/mutation_probe.py` must fail on every one.

A test suite that passes says little unless it also fails when it should. Each mutant is one replacement of text; one
whose text is no longer found fails here, so that the list keeps up with the code.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import pytest

from kernels import cache

ROOT = Path(__file__).resolve().parents[1]
PROBE = ROOT / "tests" / "support" / "mutation_probe.py"
PACKAGES = ("autograd", "kernels", "nn")
LIMIT = 300  # seconds for one run, far more than it takes with warm kernels


class Mutant(NamedTuple):
    """A bug: in `file`, the one place that reads `old` reads `new` instead."""

    why: str
    file: str
    old: str
    new: str


MUTANTS = [
    # --- the engine
    Mutant("broadcasting is undone by a mean", "autograd/ops/reduce.py", "reshape(sum(x, axis=stretched), shape)", "reshape(mean(x, axis=stretched), shape)"),
    Mutant("a leaf keeps the first gradient as an alias", "autograd/engine.py", "leaf.grad = grad if fresh else grad.clone() if create_graph else grad.detach().clone()", "leaf.grad = grad"),
    Mutant("a retained gradient is an alias", "autograd/engine.py", "kept = grad if fresh else grad.clone() if grad._edge is not None else grad.detach().clone()", "kept = grad"),
    Mutant("a second gradient replaces the first", "autograd/engine.py", "self.pending[node] = before + grad", "self.pending[node] = grad"),
    Mutant("a leaf forgets earlier passes", "autograd/engine.py", "        _add_in_place(leaf.grad, grad)\n", "        leaf.grad = grad.detach().clone()\n"),
    Mutant("what a node passes on counts as owned", "autograd/engine.py", "                if node.fresh:\n", "                if True:\n"),
    Mutant("gradients are added to without owning them", "autograd/engine.py", "elif node in self.owned and not self.create_graph:", "elif not self.create_graph:"),
    Mutant("the gradient's dtype is not compared", "autograd/engine.py", "given.shape == layout.shape and given.dtype == layout.dtype and", "given.shape == layout.shape and"),
    Mutant("a backward pass leaves recording off", "autograd/engine.py", "        grad_mode.reset(token)\n", "        pass\n"),
    Mutant("create_graph is ignored", "autograd/engine.py", "token = grad_mode.set(create_graph)", "token = grad_mode.set(False)"),
    Mutant("what was saved is not freed", "autograd/engine.py", "        node.saved = node.kept = None\n", "        pass\n"),
    Mutant("what a hook returns is dropped", "autograd/engine.py", "            grad = changed\n", "            pass\n"),
    Mutant("consumers are counted once", "autograd/graph.py", "consumers[child] += 1", "pass"),
    Mutant("no_grad does not put the mode back", "autograd/mode.py", "self.variable.set(self._before.pop())", "self._before.pop()"),
    Mutant("detach keeps the edge", "autograd/tensor.py", "= self._data, self._layout, None, share_version(self)", "= self._data, self._layout, self._edge, share_version(self)"),
    Mutant("a view has a version of its own", "autograd/tensor.py", "    out._version = share_version(base)\n", "    out._version = Version()\n"),
    Mutant("the results of a Function are mixed up", "autograd/function.py", "Port(node, k, output._layout)", "Port(node, len(outputs) - 1 - k, output._layout)"),
    Mutant("a Function that returns its argument turns it into its result", "autograd/function.py", "o.detach() if o._edge is not None or any(o is a for a in arguments) else o for o", "o for o"),
    # --- changes in place
    Mutant("an elementwise operand may have changed", "autograd/ops/derivative.py", "        if before != now:\n", "        if False:\n"),
    Mutant("an elementwise result may have changed", "autograd/ops/derivative.py", "        if version.count != count:\n", "        if False:\n"),
    Mutant("another operation's operand may have changed", "autograd/ops/base.py", "        if version_of(tensor) != version:\n", "        if False:\n"),
    Mutant("another operation's result may have changed", "autograd/ops/base.py", "        if version.count != count:\n", "        if False:\n"),
    Mutant("changes in place are not counted", "autograd/ops/inplace.py", "    count_change(target)\n    if recording", "    if recording"),
    Mutant("the old value of a *= a is lost", "autograd/ops/inplace.py", "in node.saved or ())):\n            before._data = backend.copy(before._data)\n", "in node.saved or ())):\n            pass\n"),
    Mutant("shared memory may be changed with a record", "autograd/ops/inplace.py", "if version is not None and version.is_shared():", "if False:"),
    Mutant("an optimizer's step is not counted", "autograd/ops/update.py", "        version.count += 1\n", "        pass\n"),
    # --- operations
    Mutant("setitem's gradient keeps what was overwritten", "autograd/ops/index.py", "        setitem(rest, self.key, 0.0)\n", "        pass\n"),
    Mutant("getitem's gradient is not zero elsewhere", "autograd/ops/index.py", "out = self.backend.fill(self.backend.empty(shape, x.dtype), 0)", "out = self.backend.empty(shape, x.dtype)"),
    Mutant("a permutation is undone by itself", "autograd/ops/shape.py", "inverse[axis] = place", "inverse[place] = axis"),
    Mutant("flip is not undone", "autograd/ops/shape.py", "        return flip(grad, axis=self.axes)\n", "        return grad\n"),
    Mutant("concat gives the parts in the wrong order", "autograd/ops/shape.py", "zip(self.inputs, parts, strict=True))", "zip(self.inputs, parts[::-1], strict=True))"),
    Mutant("a reduced gradient is spread along the wrong axis", "autograd/ops/reduce.py", "        return reshape(reduced, self.kept_shape)\n", "        return reduced\n"),
    Mutant("the mean's gradient is that of the sum", "autograd/ops/reduce.py", "self.widen(grad / builtins.max(self.count, 1))", "self.widen(grad)"),
    Mutant("equal maxima each get the whole gradient", "autograd/ops/reduce.py", "share = mask / sum(mask, axis=self.axes, keepdims=True)", "share = mask"),
    Mutant("prod's gradient divides by the element", "autograd/ops/reduce.py", "self.widen(grad) * product_of_others(self.operand(0), self.axes)", "self.widen(grad) * prod(self.operand(0), axis=self.axes, keepdims=True) / self.operand(0)"),
    Mutant("var's gradient ignores the correction", "autograd/ops/reduce.py", "self.divisor = self.count - correction", "self.divisor = self.count"),
    Mutant("matmul's gradient forgets a transpose", "autograd/ops/linalg.py", "(expand_dims(b, 0) if b_is_vector else matrix_transpose(b))", "(expand_dims(b, 0) if b_is_vector else b)"),
    Mutant("linear has no gradient for its bias", "autograd/ops/linalg.py", "            to_bias = wrap(backend.sum(rows, axis=0))\n", "            pass\n"),
    Mutant("softmax's second derivative misses the sum", "autograd/ops/nn_ops.py", "to_grad = y * (upstream - inner) if", "to_grad = y * upstream if"),
    Mutant("the mean cross-entropy is not divided going back", "autograd/ops/nn_ops.py", "            grad = grad / self.total_weight\n", "            pass\n"),
    # --- rules and kernels
    Mutant("the product rule drops a term", "kernels/derivatives.py", "return plus(times(b, da), times(a, db))", "return times(b, da)"),
    Mutant("where gives the gradient to the other branch", "kernels/derivatives.py", 'return make("where", condition, da, db)', 'return make("where", condition, db, da)'),
    Mutant("at a tie both operands of maximum get everything", "kernels/derivatives.py", "s.where(tie, times(_HALF, da),", "s.where(tie, da,"),
    Mutant("strided loops read the strides backwards", "kernels/cpu/elementwise.py", "packed += [*reversed(own)] if own else [0]", "packed += [*own] if own else [0]"),
    Mutant("softmax's gradient misses the sum", "kernels/cpu/softmax_kernels.py", "            out[to + j] = y[at + j] * (g[at + j] - total)\n", "            out[to + j] = y[at + j] * g[at + j]\n"),
    Mutant("log_softmax's gradient misses the exponential", "kernels/cpu/softmax_kernels.py", "(g[at + j] - exp_nonpositive(y[at + j]) * total)", "(g[at + j] - y[at + j] * total)"),
    Mutant("cross-entropy's gradient does not subtract the target", "kernels/cpu/cross_entropy_kernels.py", "        out[to + target] -= upstream * on_target\n", "        pass\n"),
    Mutant("layer norm's gradient ignores that the variance moves", "kernels/cpu/norm_kernels.py", "(dy * weight[c] - upstream - normal * along)", "(dy * weight[c] - upstream)"),
    Mutant("Adam's running means are not corrected", "nn/optim/adam.py", "1 - beta1**when, 1 - beta2**when", "1.0, 1.0"),
    # --- moving, ordering, indexing
    Mutant("gather takes the place before", "kernels/cpu/index_kernels.py", "out[item + k] = x[start + places[b + k] * step]", "out[item + k] = x[start + abs(places[b + k] - 1) * step]"),
    Mutant("scatter_add forgets what was there", "kernels/cpu/index_kernels.py", "total[to] += A(values[at])", "total[to] = A(values[at])"),
    Mutant("equal elements are sorted backwards", "kernels/cpu/sorting_kernels.py", "(number < T(block + j))", "(number > T(block + j))"),
    Mutant("a long sort forgets that places were used", "kernels/cpu/sorting_kernels.py", "counts[d] = place + 1", "counts[d] = place"),
    Mutant("a running sum begins anew at each element", "kernels/cpu/scans_kernels.py", "one, other = following(one, other, x[at + j])", "one, other = first(x[at + j])"),
    Mutant("a search swaps left and right", "kernels/cpu/searching_kernels.py", "            if right:\n", "            if not right:\n"),
    Mutant("a transposed square has its halves exchanged", "kernels/cpu/simd_moving.py", "2 * i + 1), (low, high)))", "2 * i + 1), (high, low)))"),
    Mutant("a transposing copy leaves out a column of the rest", "kernels/cpu/transposing_kernels.py", "for j in range(j_stop, j_end):", "for j in range(j_stop + 1, j_end):"),
    Mutant("a transposing copy mixes up the batch", "kernels/transposing.py", "without(sizes), without(read), without(written)", "without(sizes), without(written), without(written)"),
    Mutant("pieces are joined as if they lay in order", "kernels/cpu/joining.py", "all(a.flags.c_contiguous for a in arrays)", "True"),
    Mutant("pad fills one side alone", "autograd/ops/arrange.py", "(slice(0, middle.start), slice(middle.stop, shape[axis]))", "(slice(0, middle.start),)"),
]  # fmt: skip


def copied(source: Path, folder: Path, *without: str) -> Path:
    for package in PACKAGES:
        shutil.copytree(source / package, folder / package, ignore=shutil.ignore_patterns(*without))
    return folder


def plant(mutant: Mutant, folder: Path) -> None:
    path = folder / mutant.file
    text = path.read_text()
    found = text.count(mutant.old)
    assert found == 1, f"the text of {mutant.why!r} stands {found} times in {mutant.file}: bring MUTANTS up to date\n{mutant.old}"
    path.write_text(text.replace(mutant.old, mutant.new))


def probe(folder: Path, kernels: Path) -> subprocess.CompletedProcess:
    """Run the probe on a copy. Its kernels are shared with everything else of this machine: they are named by content."""
    environment = {**os.environ, "PYTHONPATH": str(folder), "PROBED": str(folder), "GRADLOOM_CACHE": str(kernels)}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # the first run leaves its bytecode to the others
    command = [sys.executable, "-W", "error", "-c", f"import runpy; runpy.run_path({str(PROBE)!r}, run_name='__main__')"]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=LIMIT)


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    """The copy without a bug, which must pass: it also compiles every kernel that the mutants then find."""
    folder = copied(ROOT, tmp_path_factory.mktemp("unmodified"), "__pycache__")
    done = probe(folder, cache.default_folder())
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


@pytest.fixture(scope="module")
def runs(original, tmp_path_factory):
    """Every mutant's run, two at a time, begun together; each test waits for its own."""

    def run(mutant: Mutant) -> subprocess.CompletedProcess:
        folder = copied(original, tmp_path_factory.mktemp("mutant"))
        try:
            plant(mutant, folder)
            return probe(folder, cache.default_folder())
        finally:
            shutil.rmtree(folder)

    with ThreadPoolExecutor(2) as pool:
        futures: dict[Mutant, Future] = {mutant: pool.submit(run, mutant) for mutant in MUTANTS}
        yield futures
        pool.shutdown(cancel_futures=True)


def test_unmodified_copy_passes(original):
    assert (original / "autograd" / "engine.py").read_text() == (ROOT / "autograd" / "engine.py").read_text()


@pytest.mark.parametrize("mutant", MUTANTS, ids=[m.why.replace(" ", "-") for m in MUTANTS])
def test_bug_is_noticed(mutant, runs):
    done = runs[mutant].result()
    assert done.returncode != 0, f"{mutant.why}: the probe passed with this bug in {mutant.file}"
    assert "mutation_probe.py" in done.stderr or done.returncode < 0, f"{mutant.why}: failed for another reason:\n{done.stderr}"


def test_edit_that_finds_nothing_says_so(tmp_path):
    (tmp_path / "module.py").write_text("a = 1\n")
    with pytest.raises(AssertionError, match="stands 0 times in module.py: bring MUTANTS up to date"):
        plant(Mutant("a bug", "module.py", "b = 1", "b = 2"), tmp_path)
