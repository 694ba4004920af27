"""Loops that are written out before a kernel is compiled: what keeps a tile of results in registers.

A thread's registers have no addresses, so an array can be in them only where every index is a constant. NVVM unrolls the
loops that it likes, and has no pragma for the others; a loop `for i in unrolled(COUNT)` is written out here, in the source,
with `i` and everything that follows from it as literals, and an `if` whose condition is made of constants alone is
decided. The simulator runs the same text.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from typing import Any

from kernels.cuda.compiler import Kernel, Template


def unrolled(count: int) -> range:
    """In an `UnrolledTemplate`: a loop over constants, written out."""
    return range(count)


class UnrolledTemplate(Template):
    """A `Template` whose `unrolled` loops are written out when it is specialised.

    >>> template.built({"R": "float32", "T": "uint16"}, 256, {"FORMAT": 1}, helpers)  # doctest: +SKIP
    """

    def _make(self, dtypes: Any, threads: int, constants: dict[str, int]) -> Kernel:
        return self.built(self.types(dtypes), threads, constants)

    def built(
        self,
        types: dict[str, str],
        threads: int,
        constants: Mapping[str, int],
        helpers: Sequence[str] = (),
        names: Mapping[str, str] | None = None,
        derived: Mapping[str, int] | None = None,
    ) -> Kernel:
        """The kernel for these types and constants.

        Args:
            types: names of dtypes; the first is the one whose scalar functions the kernel calls.
            helpers: the text of functions to put before it.
            names: what some names in it stand for, such as the function that loads a vector.
            derived: constants that follow from the others, and need not be in the kernel's name.
        """
        source = written_out(self.source(), {**constants, **(derived or {}), "THREADS": threads}, names)
        text = "\n\n".join([*helpers, source])
        return Kernel(self.name, text, self.signature(types), types, threads, dict(constants), self.cost)


def unrolled_kernel(**options: Any) -> Any:
    """Make an `UnrolledTemplate` of a function; options as of `kernels.cuda.compiler.kernel`."""
    return lambda function: UnrolledTemplate(function, **options)


def written_out(source: str, constants: Mapping[str, int], names: Mapping[str, str] | None = None) -> str:
    """The source with its `unrolled` loops written out, conditions on constants decided and names replaced.

    >>> print(written_out("for i in unrolled(2):\\n    x[i * 4] = y if N else z", {"N": 0}))
    x[0] = z
    x[4] = z
    """
    tree = ast.parse(source)
    tree.body = _Writer(constants, names or {}).block(tree.body)
    return ast.unparse(ast.fix_missing_locations(tree))


class _Writer:
    def __init__(self, constants: Mapping[str, int], names: Mapping[str, str]) -> None:
        self.values, self.names = dict(constants), names

    def block(self, statements: Sequence[ast.stmt]) -> list[Any]:
        """Statements, each of which may become none or many."""
        return [written for statement in statements for written in self.statement(statement)]

    def statement(self, node: ast.stmt) -> list[Any]:
        if isinstance(node, ast.For) and isinstance(node.iter, ast.Call):
            called = getattr(node.iter.func, "id", "")
            if self.names.get(called, called) == "unrolled":
                return self.loop(node)
        if isinstance(node, ast.If):
            decided = self.value(node.test)
            if decided is not None:
                return self.block(node.body if decided else node.orelse)
        copied = type(node)(**{name: self.part(value) for name, value in ast.iter_fields(node)})
        return [copied]

    def loop(self, node: ast.For) -> list[Any]:
        assert isinstance(node.iter, ast.Call) and isinstance(node.target, ast.Name)
        count, name, written = self.value(node.iter.args[0]), node.target.id, []
        if count is None:
            raise ValueError(f"unrolled({ast.unparse(node.iter.args[0])}): not made of constants alone")
        outer = self.values.get(name)
        for i in range(count):
            self.values[name] = i
            written += self.block(node.body)
        del self.values[name]
        if outer is not None:
            self.values[name] = outer
        return written

    def part(self, value: Any) -> Any:
        """A field of a node, copied."""
        if isinstance(value, list):
            if value and isinstance(value[0], ast.stmt):
                return self.block(value) or [ast.Pass()]
            return [self.part(v) for v in value]
        if isinstance(value, ast.expr):
            return self.expression(value)
        if isinstance(value, ast.AST):
            return type(value)(**{name: self.part(v) for name, v in ast.iter_fields(value)})
        return value

    def expression(self, node: ast.expr) -> ast.expr:
        """An expression: a literal where it is made of constants, without what is decided."""
        known = self.value(node)
        if known is not None:
            return ast.Constant(int(known))
        if isinstance(node, ast.Name) and node.id in self.names:
            return ast.Name(self.names[node.id], node.ctx)
        if isinstance(node, ast.IfExp):
            decided = self.value(node.test)
            if decided is not None:
                return self.expression(node.body if decided else node.orelse)
        return type(node)(**{name: self.part(value) for name, value in ast.iter_fields(node)})

    def value(self, node: ast.AST) -> int | None:
        """The value of an expression of integer constants; None for any other."""
        if isinstance(node, ast.Constant):
            return node.value if isinstance(node.value, int) else None
        if isinstance(node, ast.Name):
            return self.values.get(node.id) if isinstance(node.ctx, ast.Load) else None
        if not isinstance(node, (ast.BinOp, ast.Compare, ast.BoolOp, ast.UnaryOp, ast.IfExp)):
            return None
        parts = [child for child in ast.iter_child_nodes(node) if isinstance(child, ast.expr)]
        if any(self.value(part) is None for part in parts):
            return None
        names = {n.id: self.values[n.id] for n in ast.walk(node) if isinstance(n, ast.Name)}
        return int(eval(compile(ast.fix_missing_locations(ast.Expression(node)), "", "eval"), {"__builtins__": {}}, names))
