"""move

X[r * to_row + c * to_column] = Y[r * row + c * column]
"""

from numba.types import uint64

from einjit.kernel.intrinsics import pointer
from einjit.kernel.vectors import load, load_first, store, store_first, transpose

CODEGEN = 1


def contract(rows, columns, to, to_row, to_column, source, row, column):
    X = pointer(to, uint64)
    Y = pointer(source, uint64)
    if to_row == 1 and row == 1:  # the other way round: along columns
        rows, columns = columns, rows
        to_row, to_column = to_column, to_row
        row, column = column, row
    if to_column == 1 and row == 1:
        rows, columns = columns, rows
        to_row, to_column = to_column, to_row
        row, column = column, row
    if to_column == 1 and column == 1:
        for r in range(rows):
            c = 0
            while c + 4 <= columns:
                store(load(Y, r * row + c, 1, 4), X, r * to_row + c)
                c += 4
            if c < columns:
                last = load_first(Y, r * row + c, 1, columns - c, 4)
                store_first(last, X, r * to_row + c, columns - c)
    elif to_row == 1 and column == 1:
        whole_rows = rows - rows % 4
        whole_columns = columns - columns % 4
        for r in range(0, whole_rows, 4):
            for c in range(0, whole_columns, 4):
                transpose(X, c * to_column + r, to_column, Y, r * row + c, row, 4)
        for r in range(whole_rows):
            for c in range(whole_columns, columns):
                X[c * to_column + r] = Y[r * row + c]
        for r in range(whole_rows, rows):
            for c in range(columns):
                X[c * to_column + r] = Y[r * row + c]
    else:
        for r in range(rows):
            for c in range(columns):
                X[r * to_row + c * to_column] = Y[r * row + c * column]
