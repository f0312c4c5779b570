"""Write the kernels that all packed contractions share: the macrokernel of a dtype, and moves."""

import numpy as np

from einjit.plan.indices import PAGE
from einjit.plan.packed import LINE, MOST_TERMS, Macrokernel, Move
from einjit.source.writer import Writer

ROWS_AHEAD = 4
"""How many rows before it is moved a row is prefetched: each begins too far from the last for the
prefetchers of the CPU to see it coming."""

ASKED_AHEAD = 512
"""Bytes ahead in its rows that a far B is asked for, and"""

SHORT_ROW = 2048
"""bytes of rows so short that instead of what lies ahead the next rows are asked for."""

FAR_C = 1 << 12
"""Elements of C under a macrokernel's rows from which on its tiles are not in the L1 cache, and"""

ASKED_TERMS = 64
"""terms of a product that takes long enough for C to come meanwhile."""

FEW_OF_LANES = 4
"""Of a block's columns so small a part or less is not worth its shuffles. Measured: 2 to 4 columns
of 16 take 0.5 to 0.8 of the time one by one, 8 and 12 take 0.86 to 0.93 as blocks."""

TOGETHER = 4
"""Rows that are cut into strips together: what is written of them is whole lines."""

PRODUCTS = {1: "product", 2: "product_by_pairs", 4: "product_by_fours"}
"""What adds so many terms at once."""

PAIR_SUMS = 4096
"""Columns of B whose sums of pairs are kept for all strips of A; of more each strip finds them."""

ELEMENT = "X[at + r * to_row + c * to_column] = Y[from_ + r * row + c * column]"


def write_macrokernel(kernel: Macrokernel, w: Writer) -> None:
    """The function of a macrokernel: loops IR and JR round microkernels of every shape.

    A strip of A stays in the L1 cache while the micropanels of B pass by, the first of which asks
    for the next strip, a few lines with each term: in one go it takes as long as reading it. Rows
    along K are copied where they would drive each other out: a multiple of a page apart. Strips are
    of one height, and the last one of what is left: by turns of two heights they take 1 to 3
    percent more. B is read in whole vectors; of the last one of a row only what C has is written.
    """
    row = MOST_TERMS + kernel.lanes
    with w.block(f"def contract({', '.join(kernel.arguments)}):"):
        for name in "abc":
            w.line(f"{name.upper()} = pointer({name}, {kernel.dtype})")
        w.line(f"copy = scratch({kernel.rows * row}, {kernel.dtype})", "of a strip of A")
        if kernel.terms == 2:
            w.line(f"pairs_a = scratch({kernel.high}, {kernel.dtype})", "sums of pairs")
            w.line(f"pairs_b = scratch({PAIR_SUMS + kernel.wide}, {kernel.dtype})")
            w.line(f"kept = n <= {PAIR_SUMS}")
        if not kernel.past:
            w.line(f"ask_c = depth >= {ASKED_TERMS} and m * c_m > {FAR_C}", "for tiles of C")
        w.line(f"strips = (m + {kernel.rows - 1}) // {kernel.rows}")
        size = np.dtype(kernel.dtype).itemsize
        if kernel.far:
            short = f"n < {SHORT_ROW // size}"
            w.line(f"ahead = depth * b_k if {short} else {ASKED_AHEAD // size}", "of B")
        w.line("nothing = (A, 0, 0, depth, 0)", "to be asked for")
        w.line("height = (m + strips - 1) // strips")
        w.line("i = 0")
        with w.block("while i < m:", "IR: a strip of A"):
            w.line("rows = minimum(height, m - i)")
            w.line("below = i + height")
            w.line("strip, at, s_m = A, i * a_i, a_m")
            with w.block(f"if a_k == 1 and a_m % {PAGE // size} == 0 and n > {kernel.wide}:"):
                _copy_strip(kernel, row, w)
                w.line(f"strip, at, s_m = copy, 0, {row}")
            if kernel.terms == 2:
                _pair_sums_of_strip(kernel, w)
            _next_strip(kernel, LINE // size, w)
            w.line("j = 0")
            with w.block("while j < n:", "JR: a micropanel of B"):
                with w.block(f"if n - j > {kernel.lanes}:"):
                    _microkernels(kernel, 2, w)
                with w.block("else:"):
                    _microkernels(kernel, 1, w)
                w.line(f"j += {kernel.wide}")
                w.line("asked = nothing")
            w.line("i = below")


def _next_strip(kernel: Macrokernel, line: int, w: Writer) -> None:
    """Where the next strip is, and how it is asked for: the same lines of its rows along K, row by
    row, then the next ones; of columns the last lines, as their first has been read. Beside a far B
    it is the same strip's next block of K."""
    lines = len(range(0, kernel.rows, line))
    first = "i * a_i + depth * a_k" if kernel.far else "below * a_i"
    w.line(f"further, run, again = a_m, rows, {lines * line}")
    w.line(f"next_strip = {first}")
    with w.block("if a_k != 1:"):
        before = f" - {(lines - 1) * line}" * (lines > 1)
        w.line(f"next_strip += (height - 1) * a_m{before}")
        w.line("further, run, again = a_k, depth, 0")
    w.line("asked = (A, next_strip, further, run, again)")
    if not kernel.far:
        with w.block("if below >= m:"):
            w.line("asked = nothing")


def _copy_strip(kernel: Macrokernel, row: int, w: Writer) -> None:
    """Copy a strip's rows."""
    lanes = kernel.lanes
    with w.block("for r in range(rows):"):
        w.line("from_row = (i + r) * a_m")
        w.line("k = 0")
        with w.block(f"while k + {lanes} <= depth:"):
            w.line(f"store(load(A, from_row + k, 1, {lanes}), copy, r * {row} + k)")
            w.line(f"k += {lanes}")
        with w.block("if k < depth:"):
            w.line(f"last = load_first(A, from_row + k, 1, depth - k, {lanes})")
            w.line(f"store(last, copy, r * {row} + k)")


def _pair_sums_of_strip(kernel: Macrokernel, w: Writer) -> None:
    """The sums of pairs of a strip's rows; of columns those of a whole vector, if A has as many."""
    w.line("summed = rows")
    with w.block("if s_m == 1:"):
        w.line(f"summed = minimum(m - i, {kernel.high})")
    w.line(f"pair_sums(strip, at, s_m, a_k, depth, summed, pairs_a, 0, {kernel.lanes})")


def _microkernels(kernel: Macrokernel, vectors: int, w: Writer) -> None:
    """A register tile over the whole depth, of as many rows as the strip has; what C has there is
    asked for before."""
    if not kernel.past:
        with w.block("if ask_c:"), w.block("for r in range(rows):"):
            for lane in range(kernel.lanes - 1, vectors * kernel.lanes, kernel.lanes):
                w.line(f"prefetch(C, (i + r) * c_m + j + {lane})")
    ahead = "ahead" if kernel.far else "0"
    if kernel.terms == 2:
        w.line("to = j if kept else 0")
        with w.block("if i == 0 or not kept:"):
            width = vectors * kernel.lanes
            w.line(f"pair_sums(B, j * b_j, 1, b_k, depth, {width}, pairs_b, to, {kernel.lanes})")
    product, pairs = PRODUCTS[kernel.terms], ", pairs_a, pairs_b, to" * (kernel.terms == 2)
    for rows in range(kernel.rows, 0, -1):
        test = f"{'if' if rows == kernel.rows else 'elif'} rows == {rows}:"
        with w.block(test if rows > 1 or kernel.rows == 1 else "else:"):
            cached = "1, " * (kernel.terms == 1)
            shape = f"depth, {rows}, {vectors}, {cached}{ahead}, asked, {kernel.lanes}{pairs}"
            w.line(f"tile = {product}(strip, at, s_m, a_k, B, j * b_j, b_k, {shape})")
            last = "n - j" if vectors == 1 else f"n - j - {kernel.lanes}"
            if kernel.past:
                w.line(f"update_past(tile, C, i * c_m + j, c_m, {last})")
            else:
                w.line(f"update(tile, C, i * c_m + j, c_m, {last}, accumulate)")


def write_move(move: Move, w: Writer) -> None:
    """The function that moves a matrix: whole vectors along the unit stride that both sides share,
    or blocks transposed in registers where each has another."""
    lanes, kind, wide = move.lanes, move.compute, 2 * move.lanes
    with w.block(f"def contract({', '.join(move.arguments)}):"):
        w.line(f"X = pointer(to, {kind})")
        w.line(f"Y = pointer(source, {kind})")
        if move.strips:
            _cut(move, w)
            return
        with w.block("if to_row == 1 and (row == 1 or column == 1):", "X along its columns"):
            for one, two in (("rows", "columns"), ("to_row", "to_column"), ("row", "column")):
                w.line(f"{one}, {two} = {two}, {one}")
        copying = w.block("if to_column == 1 and column == 1:")
        with copying, w.block("for r in range(rows):"):
            if move.past:
                w.line(f"stream(Y, r * row, X, r * to_row, columns, {lanes})")
            else:
                _copy_row(lanes, w)
        with w.block("else:"):
            w.line(f"most = columns if to_panel == 1 else {wide}")
            w.line("start = 0")
            with w.block("while start < columns:", "a panel"):
                w.line("width = minimum(columns - start, most)")
                w.line("at = start * to_panel")
                w.line("from_ = start * column")
                with w.block("if to_column == 1 and row == 1:"):
                    _turn(move, w)
                rows = w.block("for r in range(rows):")
                with w.block("else:"), rows, w.block("for c in range(width):"):
                    w.line(ELEMENT)
                w.line("start += width")


def _copy_row(lanes: int, w: Writer) -> None:
    """Whole vectors of a row, and what is left of it."""
    wide = 2 * lanes
    w.line("at = r * to_row")
    w.line("c = 0")
    with w.block(f"while c + {wide} <= columns:"):
        w.line(f"prefetch(Y, (r + {ROWS_AHEAD}) * row + c)")
        w.line(f"prefetch(Y, (r + {ROWS_AHEAD}) * row + c + {lanes})")
        w.line(f"store(load(Y, r * row + c, 2, {lanes}), X, at)")
        w.line(f"at += {wide} * to_panel")
        w.line(f"c += {wide}")
    with w.block(f"if c + {lanes} <= columns:"):
        w.line(f"store(load(Y, r * row + c, 1, {lanes}), X, at)")
        w.line(f"at += {lanes}")
        w.line(f"c += {lanes}")
    with w.block("if c < columns:"):
        w.line(f"last = load_first(Y, r * row + c, 1, columns - c, {lanes})")
        w.line("store_first(last, X, at, columns - c)")


def _turn(move: Move, w: Writer) -> None:
    """Blocks transposed in registers, whole or cut off; what is left of columns, if few, one by
    one."""
    lanes = move.lanes
    w.line(f"turned = width - width % {lanes}")
    with w.block(f"if width - turned > {lanes // FEW_OF_LANES}:"):
        w.line("turned = width")
    past = move.past and lanes * move.size == LINE
    if past:
        w.line(f"lines = to_row % {lanes} == 0 and to_line(X, at) == 0")
    columns = w.block(f"for c in range(0, turned, {lanes}):")
    with columns, w.block(f"for r in range(0, rows, {lanes}):"):
        to, source = "at + r * to_row + c, to_row", "from_ + c * column + r, column"
        block = f"X, {to}, Y, {source}, turned - c, rows - r"
        if move.far:
            with w.block(f"for row_ahead in range(c + {lanes}, c + {2 * lanes}):"):
                w.line("prefetch(Y, from_ + row_ahead * column + r)")
        if past:
            with w.block("if lines:"):
                w.line(f"turn({block}, 1, {lanes})")
            with w.block("else:"):
                w.line(f"turn({block}, 0, {lanes})")
        else:
            w.line(f"turn({block}, 0, {lanes})")
    with w.block("for c in range(turned, width):"), w.block("for r in range(rows):"):
        w.line(ELEMENT)


def _cut(move: Move, w: Writer) -> None:
    """Rows cut into pieces of `to_row`, one for each panel: a few rows at a time, so that what is
    written is whole lines. A piece is moved as a whole vector where there is one to read."""
    w.line("r = 0")
    for together in (TOGETHER, 1):
        with w.block(f"while r + {together} <= rows:"):
            w.line("at, from_, c = r * to_row, r * row, 0")
            for whole in (True, False):
                more = f"c + {move.lanes} <= columns" if whole else "c < columns"
                with w.block(f"while {more}:"):
                    for i in range(together):
                        load = f"from_ + {i} * row + c, 1" + ", columns - c" * (not whole)
                        piece = f"{'load' if whole else 'load_first'}(Y, {load}, {move.lanes})"
                        w.line(f"store({piece}, X, at + {i} * to_row)")
                    w.line("c += to_row")
                    w.line("at += to_row * to_panel")
            w.line(f"r += {together}")
