"""move from far

X[r * to_row + c * to_column] = Y[r * row + c * column]
columns of unit stride lie in X in panels of 8: each begins at
c * to_panel, which is 1 where they follow each other
"""

from numba.types import uint64

from einjit.kernel.intrinsics import minimum, pointer
from einjit.kernel.turning import turn
from einjit.kernel.vectors import load, load_first, prefetch, store, store_first

CODEGEN = 1


def contract(rows, columns, to, to_row, to_column, to_panel, source, row, column):
    X = pointer(to, uint64)
    Y = pointer(source, uint64)
    if to_row == 1 and (row == 1 or column == 1):  # X along its columns
        rows, columns = columns, rows
        to_row, to_column = to_column, to_row
        row, column = column, row
    if to_column == 1 and column == 1:
        for r in range(rows):
            at = r * to_row
            c = 0
            while c + 8 <= columns:
                prefetch(Y, (r + 4) * row + c)
                prefetch(Y, (r + 4) * row + c + 4)
                store(load(Y, r * row + c, 2, 4), X, at)
                at += 8 * to_panel
                c += 8
            if c + 4 <= columns:
                store(load(Y, r * row + c, 1, 4), X, at)
                at += 4
                c += 4
            if c < columns:
                last = load_first(Y, r * row + c, 1, columns - c, 4)
                store_first(last, X, at, columns - c)
    else:
        most = columns if to_panel == 1 else 8
        start = 0
        while start < columns:  # a panel
            width = minimum(columns - start, most)
            at = start * to_panel
            from_ = start * column
            if to_column == 1 and row == 1:
                turned = width - width % 4
                if width - turned > 1:
                    turned = width
                for c in range(0, turned, 4):
                    for r in range(0, rows, 4):
                        for row_ahead in range(c + 4, c + 8):
                            prefetch(Y, from_ + row_ahead * column + r)
                        turn(
                            X,
                            at + r * to_row + c,
                            to_row,
                            Y,
                            from_ + c * column + r,
                            column,
                            turned - c,
                            rows - r,
                            0,
                            4,
                        )
                for c in range(turned, width):
                    for r in range(rows):
                        X[at + r * to_row + c * to_column] = Y[from_ + r * row + c * column]
            else:
                for r in range(rows):
                    for c in range(width):
                        X[at + r * to_row + c * to_column] = Y[from_ + r * row + c * column]
            start += width
