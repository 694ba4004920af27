"""Whether operations are recorded: no_grad, enable_grad, detect_anomaly.

Modes are context variables: they belong to the running thread or task, and an exception, a generator or another thread
cannot leave them switched.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from functools import wraps
from typing import Any, Self

grad_mode: ContextVar[bool] = ContextVar("gradloom_grad_mode", default=True)
anomaly_mode: ContextVar[bool] = ContextVar("gradloom_anomaly_mode", default=False)


class _Switch:
    """A context manager and decorator that sets a context variable and puts the old value back."""

    variable: ContextVar[bool]
    value: bool

    def __init__(self) -> None:
        self._before: list[bool] = []

    def __enter__(self) -> Self:
        # The old value rather than a token: a generator's body may be resumed in another context.
        self._before.append(self.variable.get())
        self.variable.set(self.value)
        return self

    def __exit__(self, *error: object) -> None:
        self.variable.set(self._before.pop())

    def again(self) -> Self:
        """Another switch of the same kind: a decorated function may call itself, and run in several threads."""
        return type(self)()

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        import inspect

        if inspect.isgeneratorfunction(function):
            return _generator(self.again, function)
        if inspect.iscoroutinefunction(function):

            @wraps(function)
            async def awaited(*args: Any, **kwargs: Any) -> Any:
                with self.again():
                    return await function(*args, **kwargs)

            return awaited

        @wraps(function)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            with self.again():
                return function(*args, **kwargs)

        return wrapped


def _generator(switch: Callable[[], _Switch], function: Callable[..., Any]) -> Callable[..., Any]:
    """Switch the mode while the generator runs, not while its consumer does."""

    @wraps(function)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        generator = function(*args, **kwargs)
        resume, argument = generator.send, None
        try:
            while True:
                try:
                    with switch():
                        value = resume(argument)
                except StopIteration as stop:
                    return stop.value
                try:
                    resume, argument = generator.send, (yield value)
                except GeneratorExit:
                    raise
                except BaseException as error:
                    resume, argument = generator.throw, error
        finally:
            with switch():
                generator.close()

    return wrapped


class no_grad(_Switch):  # noqa: N801: used like a function, as in PyTorch
    """Record nothing inside the block: results do not require grad. Also a decorator.

    >>> import autograd as ag
    >>> x = ag.tensor([1.0], requires_grad=True)
    >>> with ag.no_grad():
    ...     (x * 2).requires_grad
    False
    """

    variable, value = grad_mode, False


class enable_grad(_Switch):
    """Record operations inside the block, also within `no_grad`. Also a decorator."""

    variable, value = grad_mode, True


class detect_anomaly(_Switch):
    """Find the operation that made a NaN: slow, for debugging.

    Inside the block each operation remembers the line that called it, and a backward pass that meets a NaN gradient or
    an error in a derivative rule says which line of the forward pass is to blame.
    """

    variable, value = anomaly_mode, True


def is_grad_enabled() -> bool:
    """Whether operations on tensors that require grad are recorded here and now."""
    return grad_mode.get()


class set_grad_enabled(_Switch):
    """Record operations inside the block or not, as the argument says."""

    variable = grad_mode

    def __init__(self, mode: bool) -> None:
        super().__init__()
        self.value = bool(mode)

    def again(self) -> Self:
        return type(self)(self.value)
