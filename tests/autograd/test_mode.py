"""no_grad, enable_grad and their like: nothing leaks out of a block, a thread, a generator or a task."""

from __future__ import annotations

import asyncio
import threading

import pytest

import autograd as ag
from autograd.mode import anomaly_mode
from autograd.ops.elementwise import OPERATIONS


@pytest.fixture(autouse=True)
def clean():
    assert ag.is_grad_enabled()
    yield
    assert ag.is_grad_enabled() and not anomaly_mode.get()


def recorded() -> bool:
    return (ag.ones(2, requires_grad=True) * 2).requires_grad


def test_blocks_nest():
    with ag.no_grad():
        assert not recorded()
        with ag.enable_grad():
            assert recorded()
            with ag.set_grad_enabled(False):
                assert not recorded()
            assert recorded()
        assert not recorded() and not ag.is_grad_enabled()
    assert recorded()


def test_t06_exceptions_do_not_leak_a_mode():
    with pytest.raises(KeyError), ag.no_grad():
        raise KeyError
    assert recorded()
    with pytest.raises(KeyError), ag.no_grad(), ag.enable_grad():
        raise KeyError
    assert recorded()
    with pytest.raises(KeyError), ag.detect_anomaly():
        raise KeyError


def test_one_object_serves_nested_blocks():
    switch = ag.no_grad()
    with switch:
        with switch:
            assert not recorded()
        assert not recorded()
    assert recorded()


def test_decorators():
    @ag.no_grad()
    def silent() -> bool:
        """Its text."""
        return recorded()

    @ag.enable_grad()
    def loud() -> bool:
        return recorded()

    @ag.set_grad_enabled(False)
    def chosen() -> bool:
        return recorded()

    @ag.no_grad()
    def failing() -> None:
        raise KeyError

    assert silent() is False and silent.__name__ == "silent" and silent.__doc__ == "Its text."
    assert chosen() is False
    with ag.no_grad():
        assert loud() is True
    with pytest.raises(KeyError):
        failing()
    assert recorded()

    @ag.no_grad()
    def countdown(n: int) -> int:
        return n if n == 0 else countdown(n - 1)

    assert countdown(5) == 0 and recorded()


def test_t06_a_decorated_generator_switches_only_while_it_runs():
    @ag.no_grad()
    def numbers():
        received = []
        try:
            received.append((yield recorded()))
            received.append((yield recorded()))
        except KeyError:
            received.append((yield "caught"))
        return received

    generator = numbers()
    assert next(generator) is False and recorded()
    assert generator.send("a") is False and recorded()
    assert generator.throw(KeyError()) == "caught" and recorded()
    with pytest.raises(StopIteration) as stopped:
        generator.send("b")
    assert stopped.value.value == ["a", "b"]


def test_t06_a_decorated_generator_that_ends_on_an_exception():
    @ag.no_grad()
    def patient():
        for _ in range(3):
            try:
                yield recorded()
            except KeyError:
                pass
            except ValueError:
                return "done"

    generator = patient()
    assert next(generator) is False
    assert generator.throw(KeyError()) is False  # goes on
    assert generator.throw(KeyError()) is False  # and a second exception reaches it too
    with pytest.raises(StopIteration) as stopped:
        generator.throw(ValueError())
    assert stopped.value.value == "done"
    closed = []

    @ag.no_grad()
    def closing():
        try:
            yield 1
        finally:
            closed.append(recorded())

    generator = closing()
    next(generator)
    generator.close()
    assert closed == [False] and recorded()


def test_t06_a_block_inside_a_generator_ends_with_it():
    def numbers():
        with ag.no_grad():
            yield 1
            yield 2

    assert list(numbers()) == [1, 2]
    assert recorded()
    generator = numbers()
    next(generator)
    generator.close()
    assert recorded()


def test_t06_threads_have_modes_of_their_own():
    seen = {}
    with ag.no_grad():
        thread = threading.Thread(target=lambda: seen.setdefault("inner", recorded()))
        thread.start()
        thread.join()
    assert seen == {"inner": True}

    entered, left = threading.Event(), threading.Event()

    def silent() -> None:
        with ag.no_grad():
            entered.set()
            left.wait(10)

    thread = threading.Thread(target=silent)
    thread.start()
    entered.wait(10)
    assert recorded()
    left.set()
    thread.join()


def test_t06_tasks_have_modes_of_their_own():
    async def silent() -> bool:
        with ag.no_grad():
            await asyncio.sleep(0.01)
            return recorded()

    async def loud() -> list[bool]:
        found = []
        for _ in range(5):
            found.append(recorded())
            await asyncio.sleep(0.004)
        return found

    async def both() -> list:
        return await asyncio.gather(silent(), loud())

    assert asyncio.run(both()) == [False, [True] * 5]


def test_t06_a_decorated_coroutine_runs_in_its_mode():
    @ag.no_grad()
    async def silent() -> bool:
        await asyncio.sleep(0)
        return recorded()

    async def around() -> tuple[bool, bool]:
        return await silent(), recorded()

    assert asyncio.run(around()) == (False, True)


def test_t06_a_failing_function_under_grad_restores_the_mode():
    def failing(x):
        raise KeyError

    for transform in (ag.grad, ag.value_and_grad, ag.jacobian, ag.hessian, ag.elementwise_grad):
        with pytest.raises(KeyError):
            transform(failing)(1.0)
        with ag.no_grad():
            with pytest.raises(KeyError):
                transform(failing)(1.0)
            assert not ag.is_grad_enabled()


@pytest.mark.parametrize("operation", [
    OPERATIONS["exp"], ag.sum, ag.max, ag.softmax, ag.std, lambda x: x @ x, lambda x: x[0], lambda x: x.T, ag.clone,
    lambda x: ag.concat([x, x]), lambda x: ag.where(x > 0, x, 0.0), lambda x: x.astype(ag.float64), ag.layer_norm,
    ag.fuse(lambda x: x * 2), lambda x: ag.checkpoint(ag.exp, x), lambda x: ag.linear(x, x), lambda x: ag.dropout(x, 0.5),
    lambda x: x.clone().add_(x), lambda x: ag.broadcast_to(x, (2, 2, 2)),
])  # fmt: skip
def test_t07_every_family_of_operations_observes_no_grad(operation):
    x = ag.ones(2, 2, requires_grad=True)
    assert operation(x).requires_grad
    with ag.no_grad():
        out = operation(x)
    assert not out.requires_grad and out.grad_fn is None and out.is_leaf
