"""Module: parts of a network that hold parameters, buffers and other modules, and know all of them by name.

A module's members are its ordinary attributes: whatever `Parameter` or `Module` is assigned to it belongs to it, in the
order of the first assignment. Only buffers (tensors that are saved but not trained) have to be declared. There are no
registries beside the attributes, so the two cannot disagree.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Any, NamedTuple, Self

import autograd as ag
from autograd.ops import update
from nn.parameter import Parameter
from nn.state import check_state, copy_state

_OWN = frozenset({"training", "_buffers", "_hooks"})  # attributes that every module has
_CONTAINERS = (list, tuple, dict, set)
_LOOKED_AT = 100  # elements of a container that are searched for modules: it may be a data set
_CONTAINERS_LOOKED_AT = 1000


class IncompatibleKeys(NamedTuple):
    """What `load_state_dict` found: names the module has and the state lacks, and the other way round."""

    missing_keys: list[str]
    unexpected_keys: list[str]


class Module:
    """A part of a network. Subclasses assign parameters and modules in `__init__` and define `forward`.

    `training` tells whether the module is in training mode, which Dropout and its like look at; see `train` and `eval`.

    >>> import autograd as ag, nn
    >>> class Scaled(nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.linear = nn.Linear(2, 3)
    ...         self.scale = nn.Parameter(ag.ones(3))
    ...     def forward(self, x):
    ...         return self.linear(x) * self.scale
    >>> model = Scaled()
    >>> [name for name, _ in model.named_parameters()]
    ['scale', 'linear.weight', 'linear.bias']
    >>> model(ag.ones((5, 2))).shape
    (5, 3)
    """

    training: bool
    _buffers: dict[str, bool]  # the names of buffers, and whether each belongs to the state
    _hooks: tuple[list, list] | None = None  # called before and after forward

    def __init__(self) -> None:
        own = self.__dict__
        own["training"] = True
        own["_buffers"] = {}

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the module computes; every subclass defines it."""
        raise NotImplementedError(f"{type(self).__name__} must define forward(self, ...), which computes its output")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self._hooks is not None:
            return self._call_with_hooks(args, kwargs)
        return self.forward(*args, **kwargs)

    def _call_with_hooks(self, args: tuple, kwargs: dict) -> Any:
        before, after = self._hooks  # type: ignore[misc]
        for hook in tuple(before):
            changed = hook(self, args)
            if changed is not None:
                args = changed if isinstance(changed, tuple) else (changed,)
        result = self.forward(*args, **kwargs)
        for hook in tuple(after):
            changed = hook(self, args, result)
            result = result if changed is None else changed
        return result

    # --- attributes -----------------------------------------------------------------------------------------------

    def __setattr__(self, name: str, value: Any) -> None:
        own = self.__dict__
        if isinstance(value, (Parameter, Module)):
            if "_buffers" not in own:
                raise AttributeError(
                    f"{type(self).__name__}.{name}: call super().__init__() before assigning parameters and modules"
                )
            own["_buffers"].pop(name, None)
        elif value is not None:
            self._check_replacement(name, value)
        object.__setattr__(self, name, value)

    def _check_replacement(self, name: str, value: Any) -> None:
        """What is not registered must not silently take the place of something that is, nor hide it."""
        if isinstance(value, _CONTAINERS):
            self._check_container(name, value)
        before, got = self.__dict__.get(name), type(value).__name__
        if isinstance(before, Parameter):
            raise TypeError(
                f"{type(self).__name__}.{name} is a parameter and cannot become a {got}; assign nn.Parameter(tensor), "
                "change its elements with .copy_() under no_grad(), or set it to None first"
            )
        if isinstance(before, Module):
            raise TypeError(f"{type(self).__name__}.{name} is a module and cannot become a {got}; set it to None first")
        if name in self.__dict__.get("_buffers", ()) and not isinstance(value, ag.Tensor):
            raise TypeError(f"{type(self).__name__}.{name} is a buffer and must be a tensor or None, got a {got}")

    def _check_container(self, name: str, value: Any) -> None:
        """A list, tuple, dict or set must not hide modules or parameters, which would be neither trained nor saved."""
        hidden = _hidden_in(value)
        if not hidden:
            return
        known: set[int] = set()
        for module in self.modules():
            known.add(id(module))
            known.update(id(member) for member in module.__dict__.values() if isinstance(member, Parameter))
        for item, container in hidden:
            if id(item) not in known:
                what = "Module" if isinstance(item, Module) else "Parameter"
                better = f"nn.{what}Dict({{...}})" if isinstance(container, dict) else f"nn.{what}List([...])"
                if container is not value:
                    better += f", and nn.ModuleList or nn.ModuleDict for the {type(value).__name__} around it"
                raise TypeError(
                    f"{type(self).__name__}.{name}: the {what.lower()}s inside a {type(container).__name__} would be neither "
                    f"trained nor saved; use {better}"
                )

    def __delattr__(self, name: str) -> None:
        object.__delattr__(self, name)
        self.__dict__.get("_buffers", {}).pop(name, None)

    def __getattr__(self, name: str) -> Any:  # only asked for what is not there
        kind = type(self).__name__
        if name in _OWN:
            raise AttributeError(f"{kind} has no {name!r} yet: its __init__ must call super().__init__() first")
        message = f"{kind} has no attribute {name!r}"
        if not name.startswith("__"):
            names = [n for n in (*self.__dict__, *dir(type(self))) if not n.startswith("_")]
            near = difflib.get_close_matches(name, dict.fromkeys(names), n=3)
            if near:
                message += "; did you mean " + " or ".join(repr(n) for n in near) + "?"
        raise AttributeError(message, name=name, obj=None)

    def register_parameter(self, name: str, parameter: Parameter | None) -> None:
        """Add a parameter under a name that is not taken; None for one that is left out (as a bias may be)."""
        if parameter is not None and not isinstance(parameter, Parameter):
            got = type(parameter).__name__
            raise TypeError(f"register_parameter: {name!r} must be an nn.Parameter or None, got {got}")
        self._check_name(name, "register_parameter")
        setattr(self, name, parameter)

    def register_buffer(self, name: str, tensor: ag.Tensor | None, persistent: bool = True) -> None:
        """Add a tensor that is not trained: it moves with `to`, and, if `persistent`, it is saved in the state dict.

        >>> import autograd as ag, nn
        >>> module = nn.Module()
        >>> module.register_buffer("mean", ag.zeros(2))
        >>> list(module.state_dict())
        ['mean']
        """
        if tensor is not None and (not isinstance(tensor, ag.Tensor) or isinstance(tensor, Parameter)):
            raise TypeError(
                f"register_buffer: {name!r} must be a tensor that is no parameter, or None, got {type(tensor).__name__}"
            )
        if "_buffers" not in self.__dict__:
            kind = type(self).__name__
            raise AttributeError(f"{kind}: call super().__init__() before register_buffer({name!r}, ...)")
        if name not in self._buffers:
            self._check_name(name, "register_buffer")
        object.__setattr__(self, name, tensor)
        self._buffers[name] = bool(persistent)

    def register_module(self, name: str, module: Module | None) -> None:
        """Add a module under a name that is not taken."""
        if module is not None and not isinstance(module, Module):
            raise TypeError(f"register_module: {name!r} must be an nn.Module or None, got {type(module).__name__}")
        self._check_name(name, "register_module")
        setattr(self, name, module)

    add_module = register_module

    def _check_name(self, name: str, asker: str) -> None:
        if not isinstance(name, str):
            raise TypeError(f"{asker}: a name is a string, got {type(name).__name__}")
        if not name or "." in name:
            raise KeyError(f"{asker}: a name must not be empty or contain a dot, got {name!r}")
        taken = self.__dict__.get(name)
        if hasattr(type(self), name) or (taken is not None and not isinstance(taken, (Module, Parameter))):
            raise KeyError(f"{asker}: {type(self).__name__} has an attribute {name!r} already")

    # --- what it consists of --------------------------------------------------------------------------------------

    def _own_modules(self) -> Iterator[tuple[str, Module]]:
        return ((name, value) for name, value in self.__dict__.items() if isinstance(value, Module))

    def _own_parameters(self) -> Iterator[tuple[str, Parameter]]:
        for name, value in self.__dict__.items():
            if isinstance(value, Parameter):
                yield name, value
            elif isinstance(value, _CONTAINERS) and name not in _OWN:
                self._check_container(name, value)  # what was appended after the assignment is found now

    def _own_buffers(self) -> Iterator[tuple[str, ag.Tensor]]:
        for name in self._buffers:
            if self.__dict__.get(name) is not None:
                yield name, self.__dict__[name]

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """The modules directly inside, each once, with their names."""
        seen: set[int] = set()
        for name, module in self._own_modules():
            if id(module) not in seen:
                seen.add(id(module))
                yield name, module

    def children(self) -> Iterator[Module]:
        """The modules directly inside, each once."""
        return (module for _, module in self.named_children())

    def named_modules(self, prefix: str = "", remove_duplicate: bool = True) -> Iterator[tuple[str, Module]]:
        """This module and all modules inside at any depth, with their dotted names; outer ones first, each once."""
        seen: set[int] = set()
        stack: list[tuple[str, Module, tuple[Module, ...]]] = [(prefix, self, ())]
        while stack:
            name, module, around = stack.pop()
            if remove_duplicate and id(module) in seen:
                continue
            if module in around:
                raise RuntimeError(f"{type(module).__name__} contains itself, as {name!r}: it cannot be saved or listed so")
            seen.add(id(module))
            yield name, module
            around = (*around, module)
            inner = [(f"{name}.{own}" if name else own, child, around) for own, child in module._own_modules()]
            stack.extend(reversed(inner))

    def modules(self) -> Iterator[Module]:
        """This module and all modules inside at any depth, each once."""
        return (module for _, module in self.named_modules())

    def _named(
        self, members: Callable, prefix: str, recurse: bool, remove_duplicate: bool
    ) -> Iterator[tuple[str, Any]]:
        seen: set[int] = set()
        modules = self.named_modules(prefix, remove_duplicate) if recurse else [(prefix, self)]
        for path, module in modules:
            for name, value in members(module):
                if remove_duplicate and id(value) in seen:
                    continue
                seen.add(id(value))
                yield f"{path}.{name}" if path else name, value

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """All parameters with their dotted names; one that is shared comes once, under its first name.

        >>> import nn
        >>> [name for name, _ in nn.Sequential(nn.Linear(2, 3), nn.ReLU()).named_parameters()]
        ['0.weight', '0.bias']
        """
        return self._named(Module._own_parameters, prefix, recurse, remove_duplicate)

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """All parameters, each once: what an optimizer is given."""
        return (parameter for _, parameter in self.named_parameters(recurse=recurse))

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, ag.Tensor]]:
        """All buffers with their dotted names."""
        return self._named(Module._own_buffers, prefix, recurse, remove_duplicate)

    def buffers(self, recurse: bool = True) -> Iterator[ag.Tensor]:
        """All buffers, each once."""
        return (buffer for _, buffer in self.named_buffers(recurse=recurse))

    def get_submodule(self, target: str) -> Module:
        """The module at a dotted name, as `named_modules` gives it; "" is the module itself."""
        return self._find(target, Module, "get_submodule")

    def get_parameter(self, target: str) -> Parameter:
        """The parameter at a dotted name."""
        return self._find(target, Parameter, "get_parameter")

    def get_buffer(self, target: str) -> ag.Tensor:
        """The buffer at a dotted name."""
        path, _, name = target.rpartition(".")
        module = self.get_submodule(path)
        if name not in module._buffers:
            raise AttributeError(f"get_buffer: {type(module).__name__} has no buffer {name!r}")
        return getattr(module, name)

    def _find(self, target: str, kind: type, asker: str) -> Any:
        found: Any = self
        for name in target.split(".") if target else ():
            if not isinstance(found, Module):
                raise AttributeError(f"{asker}({target!r}): what comes before {name!r} is no module")
            found = getattr(found, name)
        if not isinstance(found, kind):
            raise AttributeError(f"{asker}({target!r}): found a {type(found).__name__}, not a {kind.__name__}")
        return found

    # --- the state ------------------------------------------------------------------------------------------------

    def state_dict(self, *, prefix: str = "", keep_vars: bool = False) -> dict[str, ag.Tensor]:
        """All parameters and persistent buffers by dotted name: what is saved, with the names PyTorch gives them.

        The tensors share the module's memory; `copy.deepcopy` the dict to keep a state while training goes on.

        Args:
            prefix: put before every name.
            keep_vars: give the parameters themselves rather than tensors outside the graph.
        """
        return {name: t if keep_vars else t.detach() for name, t in self._state(prefix)}

    def _state(self, prefix: str = "") -> Iterator[tuple[str, ag.Tensor]]:
        for path, module in self.named_modules(remove_duplicate=False):
            path = f"{prefix}{path}." if path else prefix
            for name, parameter in module._own_parameters():
                yield path + name, parameter
            for name, buffer in module._own_buffers():
                if module._buffers[name]:
                    yield path + name, buffer

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True) -> IncompatibleKeys:
        """Copy a state into the module's own parameters and buffers.

        Args:
            state_dict: as `state_dict` gives it, or `nn.load`; the values may be tensors or arrays.
            strict: whether every name must be there, and no other. Shapes and dtypes must fit in any case.

        Returns:
            (missing_keys, unexpected_keys), both empty with `strict`.

        Raises:
            RuntimeError: lists everything that does not fit; nothing has been loaded then.
        """
        own = dict(self._state())
        values, missing, unexpected = check_state(type(self).__name__, own, state_dict, strict)
        copy_state(own, values)
        return IncompatibleKeys(missing, unexpected)

    # --- what is done to all of it --------------------------------------------------------------------------------

    def train(self, mode: bool = True) -> Self:
        """Put the module and all inside into training mode (or, with False, evaluation mode)."""
        if not isinstance(mode, bool):
            raise ValueError(f"train: the mode is True or False, got {mode!r}")
        for module in self.modules():
            module.training = mode
        return self

    def eval(self) -> Self:
        """Put the module and all inside into evaluation mode: Dropout does nothing, and the like."""
        return self.train(False)

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Ask for gradients of all parameters, or freeze them."""
        for parameter in self.parameters():
            parameter.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients of all parameters; with `set_to_none` False they become zeros."""
        for parameter in self.parameters():
            update.clear_grad(parameter, set_to_none)

    def apply(self, function: Callable[[Module], Any]) -> Self:
        """Call `function` on every module inside and then on this one, as for setting initial values."""
        for child in self.children():
            child.apply(function)
        function(self)
        return self

    def to(self, *targets: Any, device: str | None = None, dtype: Any = None) -> Self:
        """Move everything to a device, or convert what is float to another float dtype; in place.

        The parameters stay the same objects, so optimizers keep working.

        >>> import autograd as ag, nn
        >>> nn.Linear(2, 3).to(ag.float64).weight.dtype
        dtype('float64')
        """
        for target in targets:
            if isinstance(target, str) and target.split(":")[0] in ("cpu", "cuda"):
                device = target
            else:
                dtype = target
        if dtype is not None:
            dtype = ag.empty(0, dtype=dtype).dtype
            if dtype.kind != "f":
                raise TypeError(f"to: a module can be converted to float32 or float64, not to {dtype}")
        tensors = {id(t): t for _, t in (*self.named_parameters(), *self.named_buffers())}
        for tensor in tensors.values():
            update.move(tensor, dtype if tensor.dtype.kind == "f" else None, device)
        return self

    def float(self) -> Self:
        """Convert all floats to float32."""
        return self.to(dtype=ag.float32)

    def double(self) -> Self:
        """Convert all floats to float64."""
        return self.to(dtype=ag.float64)

    def cpu(self) -> Self:
        """Move everything to the CPU."""
        return self.to(device="cpu")

    def cuda(self) -> Self:
        """Move everything to the GPU."""
        return self.to(device="cuda")

    def register_forward_hook(self, hook: Callable[[Module, tuple, Any], Any]) -> Callable[[], None]:
        """Call `hook(module, arguments, output)` after every forward; what it returns, unless None, is the output.

        Returns:
            A function that removes the hook again (also as its attribute `remove`, as in PyTorch).
        """
        return self._add_hook(1, hook)

    def register_forward_pre_hook(self, hook: Callable[[Module, tuple], Any]) -> Callable[[], None]:
        """Call `hook(module, arguments)` before every forward; what it returns, unless None, are the arguments."""
        return self._add_hook(0, hook)

    def _add_hook(self, place: int, hook: Callable) -> Callable[[], None]:
        if self._hooks is None:
            self.__dict__["_hooks"] = ([], [])
        hooks = self._hooks[place]  # type: ignore[index]
        hooks.append(hook)

        def remove() -> None:
            if hook in hooks:
                hooks.remove(hook)

        remove.remove = remove  # type: ignore[attr-defined]
        return remove

    # --- as text --------------------------------------------------------------------------------------------------

    def extra_repr(self) -> str:
        """What the module's line in the printed network says about it."""
        return ""

    def __repr__(self) -> str:
        inner = [f"({name}): {indented(repr(child))}" for name, child in self._own_modules()]
        return module_text(type(self).__name__, self.extra_repr(), inner)


def _hidden_in(value: Any) -> list[tuple[Any, Any]]:
    """The modules and parameters in a container, at any depth, each with the container that it lies in."""
    found, containers, seen = [], [value], {id(value)}
    for container in islice(iter(containers), _CONTAINERS_LOOKED_AT):  # it grows meanwhile
        for item in islice(container.values() if isinstance(container, dict) else container, _LOOKED_AT):
            if isinstance(item, (Module, Parameter)):
                found.append((item, container))
            elif isinstance(item, _CONTAINERS) and id(item) not in seen:
                seen.add(id(item))
                containers.append(item)
    return found


def module_text(name: str, extra: str, inner: list[str]) -> str:
    """A module as text: on one line, or its inner modules on a line each."""
    if not inner:
        return f"{name}({extra})"
    lines = ([extra] if extra else []) + inner
    return f"{name}(\n" + "".join(f"  {line}\n" for line in lines) + ")"


def indented(text: str) -> str:
    return text.replace("\n", "\n  ")
