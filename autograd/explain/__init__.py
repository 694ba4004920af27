"""The recorded graph and its backward pass, made readable: `autograd.explain(loss)`.

All but `explain` itself is imported when it is first used: `import autograd` is to be quick.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from autograd.explain.ask import explain

if TYPE_CHECKING:
    from autograd.explain.explanation import Contribution, Explanation, Gradient, Made, Step
    from autograd.explain.text import graph_text
    from autograd.explain.values import Value

_MODULES = {"explanation": "Contribution Explanation Gradient Made Step", "values": "Value", "text": "graph_text"}
_HOMES = {name: module for module, names in _MODULES.items() for name in names.split()}

__all__ = ["Contribution", "Explanation", "Gradient", "Made", "Step", "Value", "explain", "graph_text"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"autograd.explain has no {name!r}; it has {', '.join(__all__)}")
    value = globals()[name] = getattr(import_module(f"autograd.explain.{_HOMES[name]}"), name)
    return value
