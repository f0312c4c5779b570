"""Write the kernels that all packed contractions share: the macrokernel of a dtype, and moves."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from einjit.plan.packed import LINE, Macrokernel, Move
from einjit.source.writer import Writer


def write_macrokernel(kernel: Macrokernel, w: Writer) -> None:
    """The function of a macrokernel: loops JR and IR round microkernels of every shape.

    A height that does not divide is split evenly, so that no strip is much lower than the others;
    the vectors of a row are two and two, at the end three or one, with as many rows as registers
    hold. B is read in whole vectors; of the last one only what C has is written.
    """
    with w.block(f"def contract({', '.join(kernel.arguments)}):"):
        for name in "abc":
            w.line(f"{name.upper()} = pointer({name}, {kernel.dtype})")
        w.line("j = 0")
        with w.block("while j < n:", "JR: a micropanel of B"):
            w.line(f"left = (n - j + {kernel.lanes - 1}) // {kernel.lanes}", "vectors of a row")
            w.line("vectors = left if left == 3 else minimum(left, 2)")
            w.line(f"last = n - j - (vectors - 1) * {kernel.lanes}", "elements of the last one")
            for vectors, test in ((2, "if vectors == 2:"), (3, "elif vectors == 3:"), (1, "else:")):
                with w.block(test):
                    _strips(kernel, vectors, w)
            w.line(f"j += vectors * {kernel.lanes}")


def _strips(kernel: Macrokernel, vectors: int, w: Writer) -> None:
    most = kernel.tile_rows(vectors)
    w.line(f"strips = (m + {most - 1}) // {most}")
    w.line("height = (m + strips - 1) // strips")
    w.line("i = 0")
    with w.block("while i < m:", "IR: a strip of A"):
        w.line("rows = minimum(height, m - i)")
        with w.block("if j == 0 and a_k == 1:", "ask for the next strip"):
            w.line("end = minimum(m, i + 2 * height)")
            with w.block("for r in range(i + height, end):"):
                line = LINE // np.dtype(kernel.dtype).itemsize
                with w.block(f"for k in range(0, depth, {line}):"):
                    w.line("prefetch(A, r * a_m + k)")
        for rows in range(most, 0, -1):
            test = f"{'if' if rows == most else 'elif'} rows == {rows}:"
            with w.block(test if rows > 1 or most == 1 else "else:"):
                _microkernel(kernel, rows, vectors, w)
        w.line("i += height")


def _microkernel(kernel: Macrokernel, rows: int, vectors: int, w: Writer) -> None:
    """A register tile over the whole depth."""
    lanes = kernel.lanes
    shape = f"depth, {rows}, {vectors}, {lanes}"
    w.line(f"tile = product(A, i * a_m, a_m, a_k, B, j, b_k, {shape})")
    w.line("update(tile, C, i * c_m + j, c_m, last, accumulate)")


def write_move(move: Move, w: Writer) -> None:
    """The function that moves a matrix: whole vectors along the unit stride that both sides share,
    or blocks transposed in registers where each has another."""
    lanes, kind = move.lanes, move.compute
    with w.block(f"def contract({', '.join(move.arguments)}):"):
        w.line(f"X = pointer(to, {kind})")
        w.line(f"Y = pointer(source, {kind})")
        with w.block("if to_row == 1 and row == 1:", "the other way round: along columns"):
            for one, two in (("rows", "columns"), ("to_row", "to_column"), ("row", "column")):
                w.line(f"{one}, {two} = {two}, {one}")
        with w.block("if to_column == 1 and row == 1:"):
            for one, two in (("rows", "columns"), ("to_row", "to_column"), ("row", "column")):
                w.line(f"{one}, {two} = {two}, {one}")
        with w.block("if to_column == 1 and column == 1:"), w.block("for r in range(rows):"):
            w.line("c = 0")
            with w.block(f"while c + {lanes} <= columns:"):
                w.line(f"store(load(Y, r * row + c, 1, {lanes}), X, r * to_row + c)")
                w.line(f"c += {lanes}")
            with w.block("if c < columns:"):
                w.line(f"last = load_first(Y, r * row + c, 1, columns - c, {lanes})")
                w.line("store_first(last, X, r * to_row + c, columns - c)")
        with w.block("elif to_row == 1 and column == 1:"):
            w.line(f"whole_rows = rows - rows % {lanes}")
            w.line(f"whole_columns = columns - columns % {lanes}")
            with _over(w, f"0, whole_rows, {lanes}", f"0, whole_columns, {lanes}"):
                at = f"c * to_column + r, to_column, Y, r * row + c, row, {lanes}"
                w.line(f"transpose(X, {at})")
            with _over(w, "whole_rows", "whole_columns, columns"):
                w.line("X[c * to_column + r] = Y[r * row + c]")
            with _over(w, "whole_rows, rows", "columns"):
                w.line("X[c * to_column + r] = Y[r * row + c]")
        with w.block("else:"), _over(w, "rows", "columns"):
            w.line("X[r * to_row + c * to_column] = Y[r * row + c * column]")


@contextmanager
def _over(w: Writer, rows: str, columns: str) -> Iterator[None]:
    with w.block(f"for r in range({rows}):"), w.block(f"for c in range({columns}):"):
        yield
