"""move into strips

X[r * to_row + c * to_column] = Y[r * row + c * column]
columns of unit stride lie in X in panels of 16: each begins at
c * to_panel, which is 1 where they follow each other
"""

from numba.types import uint64

from einjit.kernel.intrinsics import pointer
from einjit.kernel.vectors import load, load_first, store

CODEGEN = 1


def contract(rows, columns, to, to_row, to_column, to_panel, source, row, column):
    X = pointer(to, uint64)
    Y = pointer(source, uint64)
    r = 0
    while r + 4 <= rows:
        at, from_, c = r * to_row, r * row, 0
        while c + 8 <= columns:
            store(load(Y, from_ + 0 * row + c, 1, 8), X, at + 0 * to_row)
            store(load(Y, from_ + 1 * row + c, 1, 8), X, at + 1 * to_row)
            store(load(Y, from_ + 2 * row + c, 1, 8), X, at + 2 * to_row)
            store(load(Y, from_ + 3 * row + c, 1, 8), X, at + 3 * to_row)
            c += to_row
            at += to_row * to_panel
        while c < columns:
            store(load_first(Y, from_ + 0 * row + c, 1, columns - c, 8), X, at + 0 * to_row)
            store(load_first(Y, from_ + 1 * row + c, 1, columns - c, 8), X, at + 1 * to_row)
            store(load_first(Y, from_ + 2 * row + c, 1, columns - c, 8), X, at + 2 * to_row)
            store(load_first(Y, from_ + 3 * row + c, 1, columns - c, 8), X, at + 3 * to_row)
            c += to_row
            at += to_row * to_panel
        r += 4
    while r + 1 <= rows:
        at, from_, c = r * to_row, r * row, 0
        while c + 8 <= columns:
            store(load(Y, from_ + 0 * row + c, 1, 8), X, at + 0 * to_row)
            c += to_row
            at += to_row * to_panel
        while c < columns:
            store(load_first(Y, from_ + 0 * row + c, 1, columns - c, 8), X, at + 0 * to_row)
            c += to_row
            at += to_row * to_panel
        r += 1
