"""Modules made of modules: Sequential, ModuleList, ModuleDict; and lists and dicts of parameters."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Self

import autograd as ag
from nn.module import Module, indented, module_text
from nn.parameter import Parameter


class _Numbered(Module):
    """Members named "0", "1", ...: what Sequential, ModuleList and ParameterList share."""

    _kind: type = Module

    def _values(self) -> list[Any]:
        return [value for value in self.__dict__.values() if isinstance(value, self._kind)]

    def _names(self) -> list[str]:
        return [name for name, value in self.__dict__.items() if isinstance(value, self._kind)]

    def _name_at(self, index: int) -> str:
        names = self._names()
        if isinstance(index, bool) or not hasattr(index, "__index__"):
            raise TypeError(f"{type(self).__name__}: an index is an integer or a slice, got {index!r}")
        if not -len(names) <= index.__index__() < len(names):
            raise IndexError(f"{type(self).__name__}: index {index} is out of range for {len(names)} members")
        return names[index]

    def _put(self, name: str, value: Any) -> None:
        if not isinstance(value, self._kind):
            raise TypeError(
                f"{type(self).__name__}: {name!r} must be of type nn.{self._kind.__name__}, got {type(value).__name__}"
            )
        object.__setattr__(self, name, value)

    def _replace(self, values: Iterable[Any]) -> None:
        """Number the members anew."""
        values = list(values)
        for name in self._names():
            delattr(self, name)
        for number, value in enumerate(values):
            self._put(str(number), value)

    def __len__(self) -> int:
        return len(self._values())

    def __iter__(self) -> Iterator[Any]:
        return iter(self._values())

    def __contains__(self, value: Any) -> bool:
        return any(value is own for own in self._values())

    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return self._like(self._values()[index])
        return self.__dict__[self._name_at(index)]

    def _like(self, values: list[Any]) -> Any:
        """A container of the same type with some of the members."""
        return type(self)(values)  # type: ignore[call-arg]

    def __setitem__(self, index: int, value: Any) -> None:
        self._put(self._name_at(index), value)

    def __delitem__(self, index: int | slice) -> None:
        values = self._values()
        if not isinstance(index, slice):
            self._name_at(index)
        del values[index]
        self._replace(values)

    def append(self, value: Any) -> Self:
        """Add a member at the end."""
        number = len(self)
        while str(number) in self.__dict__:  # in a slice, which keeps the names
            number += 1
        self._put(str(number), value)
        return self

    def extend(self, values: Iterable[Any]) -> Self:
        """Add several members at the end."""
        for value in list(values):
            self.append(value)
        return self

    def insert(self, index: int, value: Any) -> None:
        """Put a member before the one at an index."""
        values = self._values()
        if not -len(values) <= index <= len(values):
            raise IndexError(f"{type(self).__name__}: index {index} is out of range for {len(values)} members")
        values.insert(index, value)
        self._replace(values)

    def pop(self, index: int = -1) -> Any:
        """Take a member out and return it."""
        value = self[self._checked_index(index)]
        del self[index]
        return value

    def _checked_index(self, index: int) -> int:
        self._name_at(index)
        return index


class Sequential(_Numbered):
    """Modules applied one after the other, given as arguments or as a dict from names to modules.

    >>> import nn
    >>> nn.Sequential(nn.Linear(2, 3), nn.ReLU())
    Sequential(
      (0): Linear(in_features=2, out_features=3, bias=True)
      (1): ReLU()
    )
    >>> nn.Sequential({"hidden": nn.Linear(2, 3), "act": nn.ReLU()}).hidden
    Linear(in_features=2, out_features=3, bias=True)
    """

    def __init__(self, *modules: Any) -> None:
        super().__init__()
        if len(modules) == 1 and isinstance(modules[0], Mapping):
            for name, module in modules[0].items():
                self._check_member(name, module)
                self.register_module(name, module)
            return
        for number, module in enumerate(modules):
            self._check_member(str(number), module)
            self._put(str(number), module)

    def _check_member(self, name: str, module: Any) -> None:
        if not isinstance(module, Module):
            hint = ""
            if isinstance(module, (list, tuple)):
                hint = "; give the modules one by one, as in nn.Sequential(*modules)"
            elif callable(module):
                hint = "; a function becomes a layer as a module whose forward calls it"
            raise TypeError(f"Sequential: {name!r} is a {type(module).__name__}, not a module{hint}")

    def __getitem__(self, index: int | slice) -> Any:
        if not isinstance(index, slice):
            return super().__getitem__(index)
        names = self._names()[index]
        return type(self)({name: self.__dict__[name] for name in names})

    def __delitem__(self, index: int | slice) -> None:
        names = self._names()
        for name in names[index] if isinstance(index, slice) else [self._name_at(index)]:
            delattr(self, name)
        if all(name.isdigit() for name in names):
            self._replace(self._values())

    def __add__(self, other: Sequential) -> Sequential:
        return Sequential(*self, *other) if isinstance(other, Sequential) else NotImplemented

    def forward(self, x: Any) -> Any:
        for value in self.__dict__.values():
            if isinstance(value, Module):
                x = value(x)
        return x


class ModuleList(_Numbered):
    """A list of modules that belong to the module it is assigned to; it has no forward of its own.

    >>> import nn
    >>> layers = nn.ModuleList(nn.Linear(2, 2) for _ in range(3))
    >>> layers
    ModuleList(
      (0-2): 3 x Linear(in_features=2, out_features=2, bias=True)
    )
    >>> len(layers[1:]), len(list(layers.parameters()))
    (2, 6)
    """

    def __init__(self, modules: Iterable[Module] = ()) -> None:
        super().__init__()
        self.extend(modules)

    def __add__(self, other: Iterable[Module]) -> ModuleList:
        return ModuleList([*self, *other])

    __iadd__ = _Numbered.extend

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError("ModuleList has no forward: call its modules one by one, or use nn.Sequential")

    def __repr__(self) -> str:
        """As any module, with neighbours that read the same on one line."""
        groups: list[tuple[str, list[str]]] = []
        for name, module in self.named_children():
            text = repr(module)
            if groups and groups[-1][0] == text:
                groups[-1][1].append(name)
            else:
                groups.append((text, [name]))
        lines = []
        for text, names in groups:
            label, times = (f"{names[0]}-{names[-1]}", f"{len(names)} x ") if len(names) > 1 else (names[0], "")
            lines.append(f"({label}): {times}{indented(text)}")
        return module_text(type(self).__name__, "", lines)


class ParameterList(_Numbered):
    """A list of parameters that belong to the module it is assigned to; tensors put into it become parameters.

    >>> import autograd as ag, nn
    >>> [name for name, _ in nn.ParameterList([ag.zeros(2), ag.zeros(3)]).named_parameters()]
    ['0', '1']
    """

    _kind = Parameter

    def __init__(self, values: Iterable[Any] = ()) -> None:
        super().__init__()
        self.extend(values)

    def _put(self, name: str, value: Any) -> None:
        super()._put(name, _as_parameter(value))

    def extra_repr(self) -> str:
        return ", ".join(f"{name}: {p.dtype}{p.shape}" for name, p in self.named_parameters())


class _Named(Module):
    """Members under names of the user's choice, as in a dict: what ModuleDict and ParameterDict share."""

    _kind: type = Module

    def __init__(self, members: Mapping[str, Any] | Iterable[tuple[str, Any]] = ()) -> None:
        super().__init__()
        self.update(members)

    def update(self, members: Mapping[str, Any] | Iterable[tuple[str, Any]]) -> None:
        """Add members, or put them in the place of others of the same names."""
        for name, value in dict(members).items():
            self[name] = value

    def keys(self) -> list[str]:
        """The names."""
        return [name for name, _ in self.items()]

    def values(self) -> list[Any]:
        """The members."""
        return [value for _, value in self.items()]

    def items(self) -> list[tuple[str, Any]]:
        """(name, member) pairs."""
        return [(name, value) for name, value in self.__dict__.items() if isinstance(value, self._kind)]

    def __getitem__(self, name: str) -> Any:
        value = self.__dict__.get(name)
        if not isinstance(value, self._kind):
            raise KeyError(f"{type(self).__name__} has no member {name!r}; it has {', '.join(self.keys()) or 'none'}")
        return value

    def __setitem__(self, name: str, value: Any) -> None:
        if not isinstance(value, self._kind):
            raise TypeError(
                f"{type(self).__name__}: {name!r} must be of type nn.{self._kind.__name__}, got {type(value).__name__}"
            )
        if name not in self:
            self._check_name(name, type(self).__name__)
        object.__setattr__(self, name, value)

    def __delitem__(self, name: str) -> None:
        self[name]
        delattr(self, name)

    def pop(self, name: str) -> Any:
        """Take a member out and return it."""
        value = self[name]
        del self[name]
        return value

    def __len__(self) -> int:
        return len(self.keys())

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())

    def __contains__(self, name: str) -> bool:
        return name in self.keys()

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError(f"{type(self).__name__} has no forward: use its members by their names")


class ModuleDict(_Named):
    """A dict of modules that belong to the module it is assigned to. A name must not be that of a method.

    >>> import nn
    >>> heads = nn.ModuleDict({"digit": nn.Linear(8, 10), "parity": nn.Linear(8, 2)})
    >>> heads["parity"]
    Linear(in_features=8, out_features=2, bias=True)
    """


class ParameterDict(_Named):
    """A dict of parameters that belong to the module it is assigned to; tensors put into it become parameters."""

    _kind = Parameter

    def __setitem__(self, name: str, value: Any) -> None:
        super().__setitem__(name, _as_parameter(value))

    def extra_repr(self) -> str:
        return ", ".join(f"{name}: {p.dtype}{p.shape}" for name, p in self.items())


def _as_parameter(value: Any) -> Any:
    return Parameter(value) if isinstance(value, ag.Tensor) and not isinstance(value, Parameter) else value
