"""A kernel's generic source, shared by all devices: one annotated Python function, specialised per data type.

The annotations are the signature: `T*` is a pointer to elements of type T, `T` a number of that type, and a capital
letter is a type variable that is filled in at `template[float32]` (or `template[float32, int64]` for two, in order of
appearance). Helper functions marked `inlined` are named in `uses=` and become part of the specialised source. What a
specialisation is compiled to, and how it starts, is the device's business: `kernels.cpu.compiler`, `kernels.cuda.compiler`.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
import threading
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np

Parameter = tuple[str, str, bool]  # name, dtype name, whether it is a pointer

lock = threading.RLock()  # held while a kernel is specialised and compiled


class Template:
    """A kernel's generic source; `template[dtype]` is the compiled kernel for that type, made at first use."""

    def __init__(self, function: Callable, uses: Sequence[Callable | str] = (), name: str = "") -> None:
        self.name = name or function.__name__
        self.function, self.uses = function, uses
        self.parameters = [(p.name, str(p.annotation)) for p in inspect.signature(function).parameters.values()]
        letters = (kind.rstrip("*") for _, kind in self.parameters)
        self.variables = list(dict.fromkeys(kind for kind in letters if len(kind) == 1 and kind.isupper()))
        self._made: dict[Any, Any] = {}
        self.__doc__ = function.__doc__

    def __getitem__(self, dtypes: Any) -> Any:
        made = self._made.get(dtypes)
        if made is None:
            with lock:
                made = self._made.get(dtypes)
                if made is None:
                    made = self._made[dtypes] = self._specialise(dtypes)
        return made

    def types(self, dtypes: Any) -> dict[str, str]:
        """The type variables with the names of the dtypes that they stand for."""
        names = [np.dtype(d).name for d in (dtypes if isinstance(dtypes, tuple) else (dtypes,))]
        if len(names) != len(self.variables):
            raise TypeError(f"kernel {self.name} has type variables {self.variables}, got {len(names)} types: {names}")
        return dict(zip(self.variables, names, strict=True))

    def source(self) -> str:
        """The source of the helpers and the function, without decorators and annotations."""
        helpers = [f if isinstance(f, str) else plain_source(f) for f in self.uses]
        return "\n\n".join([*helpers, plain_source(self.function, self.name)])

    def signature(self, types: dict[str, str]) -> list[Parameter]:
        """The parameters, with the type variables filled in."""
        return [(name, types.get(kind.rstrip("*"), kind.rstrip("*")), kind.endswith("*")) for name, kind in self.parameters]

    def _specialise(self, dtypes: Any) -> Any:
        raise NotImplementedError


def inlined(function: Callable) -> Callable:
    """Mark a helper of kernels: its source is copied into every kernel that names it in `uses`."""
    return function


@cache
def plain_source(function: Callable, name: str = "") -> str:
    """A function's source without decorators, annotations and docstring, ready to be placed in another module."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    definition = tree.body[0]
    assert isinstance(definition, ast.FunctionDef)
    definition.name = name or definition.name
    is_helper = any(isinstance(d, ast.Name) and d.id == "inlined" for d in definition.decorator_list)
    definition.decorator_list = [ast.Name("_inlined")] if is_helper else []
    for argument in definition.args.args:
        argument.annotation = None
    definition.returns = None
    if ast.get_docstring(definition) and len(definition.body) > 1:
        definition.body.pop(0)
    return ast.unparse(tree)


def names_in(source: str) -> set[str]:
    """Every name that the source uses."""
    return {node.id for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Name)}


def function_name(name: str, source: str) -> str:
    """What a kernel is called in its module: not as the function that it is the loop of, exp and its like."""
    return f"{name}_loop" if name in names_in(source) else name
