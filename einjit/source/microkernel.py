"""Write the kernels that all packed contractions share: the macrokernel of a dtype, and moves."""

from einjit.plan.packed import Macrokernel, Move
from einjit.source.writer import Writer


def write_macrokernel(kernel: Macrokernel, w: Writer) -> None:
    """The function `macrokernel`: loops JR and IR round microkernels of every height.

    A height that does not divide is split evenly, so that no strip is much lower than the others.
    Widths below a vector are read and written under a mask.
    """
    rows, lanes, kind = kernel.rows, kernel.lanes, kernel.dtype
    with w.block(f"def contract({', '.join(kernel.arguments)}):"):
        for name in "abc":
            w.line(f"{name.upper()} = pointer({name}, {kind})")
        w.line(f"strips = (m + {rows - 1}) // {rows}")
        w.line("height = (m + strips - 1) // strips")
        w.line("j = 0")
        with w.block("while j < n:", "JR: a micropanel of B"):
            w.line("left = n - j")
            for vectors in range(kernel.vectors, 0, -1):
                wide = vectors * lanes
                with w.block(f"{'if' if vectors == kernel.vectors else 'elif'} left >= {wide}:"):
                    _strips(kernel, vectors, w)
                    w.line(f"j += {wide}")
            with w.block("else:"):
                _strips(kernel, 0, w)
                w.line("j = n")


def _strips(kernel: Macrokernel, vectors: int, w: Writer) -> None:
    w.line("i = 0")
    with w.block("while i < m:", "IR: a strip of A"):
        w.line("rows = minimum(height, m - i)")
        for rows in range(kernel.rows, 0, -1):
            test = f"{'if' if rows == kernel.rows else 'elif'} rows == {rows}:"
            with w.block(test if rows > 1 or kernel.rows == 1 else "else:"):
                _microkernel(kernel, rows, vectors, w)
        w.line("i += height")


def _microkernel(kernel: Macrokernel, rows: int, vectors: int, w: Writer) -> None:
    """A register tile over the whole depth; with no vectors, the lanes that are left of one."""
    lanes = kernel.lanes
    first, more = ("", "") if vectors else ("_first", ", left")
    w.line(f"tile = zeros({rows}, {vectors or 1}, {lanes}, {kernel.dtype})")
    with w.block("for k in range(depth):"):
        amount = str(vectors) if vectors else "left"
        w.line(f"row = load{first}(B, k * b_k + j, {amount}, {lanes})")
        w.line("tile = multiply_add(tile, A, k * a_k + i * a_m, a_m, row)")
    with w.block("if accumulate:"):
        w.line(f"tile = add{first}(tile, C, i * c_m + j, c_m{more})")
    w.line(f"store{first}(tile, C, i * c_m + j, c_m{more})")


def write_move(move: Move, w: Writer) -> None:
    """The function that moves a matrix: whole vectors along the unit stride that both sides share,
    or blocks transposed in registers where each has another."""
    lanes, kind = move.lanes, f"uint{8 * move.size}"
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
                w.line(f"store(load(Y, r * row + c, 1, {lanes}), X, r * to_row + c, 0)")
                w.line(f"c += {lanes}")
            with w.block("if c < columns:"):
                w.line(f"last = load_first(Y, r * row + c, columns - c, {lanes})")
                w.line("store_first(last, X, r * to_row + c, 0, columns - c)")
        with w.block("elif to_row == 1 and column == 1:"):
            w.line(f"whole_rows = rows - rows % {lanes}")
            w.line(f"whole_columns = columns - columns % {lanes}")
            with (
                w.block(f"for r in range(0, whole_rows, {lanes}):"),
                w.block(f"for c in range(0, whole_columns, {lanes}):"),
            ):
                at = f"c * to_column + r, to_column, Y, r * row + c, row, {lanes}"
                w.line(f"transpose(X, {at})")
            with w.block("for r in range(whole_rows):"):
                with w.block("for c in range(whole_columns, columns):"):
                    w.line("X[c * to_column + r] = Y[r * row + c]")
            with w.block("for c in range(columns):"):
                with w.block("for r in range(whole_rows, rows):"):
                    w.line("X[c * to_column + r] = Y[r * row + c]")
        with w.block("else:"):
            with w.block("for r in range(rows):"), w.block("for c in range(columns):"):
                w.line("X[r * to_row + c * to_column] = Y[r * row + c * column]")
