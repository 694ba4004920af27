"""The cases of every kernel family. Nothing is allocated until a case is measured."""

from __future__ import annotations

from importlib import import_module

from bench.suite import Case

FAMILIES = ("overhead", "elementwise", "reduce", "rows", "sorting", "indexing", "moving", "matmul")


def cases_of(family: str) -> list[Case]:
    """The cases of one family, in the order of its table."""
    return import_module(f"bench.cases.{family}").cases()
