"""The cases of every kernel family: `FAMILIES[name]()` lists them. Nothing is allocated until a case is measured."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

from bench.suite import Case

FAMILY_NAMES = ("overhead", "elementwise", "reduce", "matmul", "rows")


def cases_of(family: str) -> list[Case]:
    """The cases of one family, in the order of its table."""
    return import_module(f"bench.cases.{family}").cases()


FAMILIES: dict[str, Callable[[], list[Case]]] = {name: lambda name=name: cases_of(name) for name in FAMILY_NAMES}
