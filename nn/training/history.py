"""What training gave, epoch by epoch: as lists, CSV, JSON or a picture."""

from __future__ import annotations

import csv
import io
import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from nn.serialization import write_atomically


class History:
    """A table with a row of numbers per epoch; `history["loss"]` is a column (None where a row has no such number).

    >>> history = History([{"epoch": 1, "loss": 0.5}, {"epoch": 2, "loss": 0.25}])
    >>> history["loss"], history[-1]
    ([0.5, 0.25], {'epoch': 2, 'loss': 0.25})
    """

    def __init__(self, rows: Sequence[Mapping[str, Any]] = ()) -> None:
        self.rows: list[dict[str, float]] = [dict(row) for row in rows]

    @property
    def columns(self) -> list[str]:
        """The names of all columns, in the order of their first appearance."""
        return list(dict.fromkeys(name for row in self.rows for name in row))

    def append(self, row: Mapping[str, Any]) -> None:
        """Add a row."""
        self.rows.append(dict(row))

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[dict[str, float]]:
        return iter(self.rows)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, History) and self.rows == other.rows

    __hash__ = None  # type: ignore[assignment]

    def __getitem__(self, key: str | int) -> Any:
        if isinstance(key, int):
            return self.rows[key]
        if key not in self.columns:
            raise KeyError(f"History: there is no column {key!r}; there are {', '.join(self.columns) or 'none'}")
        return [row.get(key) for row in self.rows]

    def __repr__(self) -> str:
        return f"History of {len(self.rows)} epochs: {', '.join(self.columns)}"

    def to_json(self, path: str | os.PathLike | None = None) -> str:
        """The rows as JSON text (NaN and infinities as null, which JSON has no numbers for), also written to a file."""
        rows = [{k: v if math.isfinite(v) else None for k, v in row.items()} for row in self.rows]
        text = json.dumps(rows, indent=1) + "\n"
        return _written(text, path)

    def to_csv(self, path: str | os.PathLike | None = None) -> str:
        """The rows as comma-separated values under a line of names, also written to a file."""
        out = io.StringIO()
        writer = csv.DictWriter(out, self.columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)
        return _written(out.getvalue(), path)

    def plot(self, path: str | os.PathLike | None = None, columns: Sequence[str] | None = None) -> Any:
        """Draw the columns over the epochs, training and validation in one picture, with matplotlib.

        Args:
            path: a file to write, its kind by its ending.
            columns: those to draw; all but "epoch", "step" and "lr" by default.

        Returns:
            The matplotlib Figure.

        Raises:
            ImportError: matplotlib is not installed.
            ValueError: there is nothing to draw.
        """
        try:
            from matplotlib.figure import Figure
        except ImportError as error:
            raise ImportError("History.plot needs matplotlib: pip install 'gradloom[viz]'") from error
        wanted = [c for c in self.columns if c not in ("epoch", "step", "lr")] if columns is None else list(columns)
        if not wanted or not self.rows:
            raise ValueError("History.plot: there are no columns to draw")
        kinds = list(dict.fromkeys(name.removeprefix("validation_") for name in wanted))
        figure = Figure(figsize=(5 * len(kinds), 4), layout="constrained")
        for kind, axes in zip(kinds, figure.subplots(1, len(kinds), squeeze=False)[0], strict=True):
            for name in wanted:
                if name.removeprefix("validation_") == kind:
                    points = [(row.get("epoch", k + 1), row[name]) for k, row in enumerate(self.rows) if name in row]
                    axes.plot([x for x, _ in points], [y for _, y in points], marker=".", label=name)
            axes.set_xlabel("epoch")
            axes.legend()
        if path is not None:
            figure.savefig(path)
        return figure


def _written(text: str, path: str | os.PathLike | None) -> str:
    if path is not None:
        write_atomically(path, text.encode())
    return text
