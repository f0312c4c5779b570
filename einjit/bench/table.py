"""What is shown: lines of a table, which are written as the rows come."""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

from einjit.bench.cases import Point
from einjit.bench.contest import Row
from einjit.bench.engines import OWN
from einjit.bench.summary import Means

Cell = Callable[[Row], str]

TIME = 8
"""Characters of a time, as in `12.3 ms`."""


def time_text(seconds: float | None) -> str:
    """Three digits of a time and its unit.

    >>> time_text(0.0123456), time_text(4.5e-7), time_text(None)
    ('12.3 ms', '450 ns', '-')
    """
    if seconds is None:
        return "-"
    scale, unit = next(
        (one for one in ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs")) if seconds >= one[0]),
        (1e-9, "ns"),
    )
    return f"{_digits(seconds / scale)} {unit}"


def _digits(number: float) -> str:
    return f"{number:.{max(0, 2 - math.floor(math.log10(max(number, 1))))}f}"


def ratio_text(ratio: float | None) -> str:
    """Two decimals."""
    return "-" if ratio is None else f"{ratio:.2f}"


class Column(NamedTuple):
    """A column of the table: numbers stand to the right."""

    title: str
    cell: Cell
    width: int
    right: bool = True


class Table:
    """A table of rows; what no engine or not every engine could do is noted behind a row."""

    def __init__(self, columns: Sequence[Column]) -> None:
        self.columns = tuple(columns)

    @property
    def head(self) -> str:
        """The titles of the columns."""
        return self._line([column.title for column in self.columns])

    def line(self, row: Row) -> str:
        """A row, and the engines that it is without."""
        text = self._line([column.cell(row) for column in self.columns])
        notes = [f"{name} wrong" for name in row.problems if _is_wrong(row, name)]
        absent = [name for name in row.problems if not _is_wrong(row, name)]
        if absent:
            notes.append("without " + ", ".join(absent))
        return "  ".join([text, *(["; ".join(notes)] if notes else [])])

    def _line(self, cells: Sequence[str]) -> str:
        return "  ".join(
            cell.rjust(column.width) if column.right else cell.ljust(column.width)
            for cell, column in zip(cells, self.columns, strict=True)
        )


def _is_wrong(row: Row, name: str) -> bool:
    return row.problems[name].startswith("wrong")


def comparison(points: Sequence[Point]) -> Table:
    """The table of einjit against the best peer and the limit."""
    return Table(
        [
            *_what(points),
            Column("dtype", lambda row: row.point.dtype, 10, right=False),
            Column("level", lambda row: row.level, 5, right=False),
            Column(OWN, lambda row: time_text(row.seconds.get(OWN)), TIME),
            Column("best", lambda row: time_text(row.seconds.get(row.best or "")), TIME),
            Column("peer", lambda row: row.best or "-", 10, right=False),
            Column("ratio", lambda row: ratio_text(row.ratio), 6),
            Column("share", lambda row: ratio_text(row.share), 6),
        ]
    )


def prices(points: Sequence[Point], engines: Sequence[str]) -> Table:
    """The table of what a call costs in each engine."""

    def price(name: str) -> Cell:
        return lambda row: time_text(row.seconds.get(name))

    return Table(
        [
            *_what(points),
            Column("dtype", lambda row: row.point.dtype, 7, right=False),
            *(Column(name, price(name), max(TIME, len(name))) for name in engines),
            Column("numpy/einjit", lambda row: ratio_text(row.over("numpy")), 12),
        ]
    )


def _what(points: Sequence[Point]) -> list[Column]:
    """The columns that say what was measured, as wide as these points need."""

    def column(title: str, cell: Callable[[Point], str]) -> Column:
        width = max(len(title), *(len(cell(point)) for point in points))
        return Column(title, lambda row: cell(row.point), width, right=False)

    return [
        column("case", lambda point: point.case.name),
        column("equation", lambda point: point.case.equation),
        column("sizes", lambda point: point.sizes_text),
    ]


def means_lines(means: dict[str, Means]) -> list[str]:
    """A line a group, the last for all: geometric means and the worst."""
    width = max(map(len, means), default=0)
    lines = []
    for name, mean in means.items():
        text = f"{name:<{width}}  {mean.cases:3} cases  ratio {ratio_text(mean.ratio)}"
        if mean.worst_ratio is not None:
            text += f" (worst {ratio_text(mean.worst_ratio)}: {mean.worst_ratio_case})"
        if mean.share is not None:
            text += f"  share {ratio_text(mean.share)}"
            text += f" (worst {ratio_text(mean.worst_share)}: {mean.worst_share_case})"
        lines.append(text)
    return lines


def problem_lines(rows: Sequence[Row]) -> list[str]:
    """Each problem once, with the cases it came up in."""
    found: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        for name, problem in row.problems.items():
            found.setdefault((name, problem), []).append(f"{row.point.case.name} {row.point.dtype}")
    lines = []
    for (name, problem), cases in found.items():
        more = f" and {len(cases) - 1} more" if len(cases) > 1 else ""
        lines.append(f"{name}: {problem} ({cases[0]}{more})")
    return lines
