"""move past the caches

X[r * to_row + c * to_column] = Y[r * row + c * column]
columns of unit stride lie in X in panels of 16: each begins at
c * to_panel, which is 1 where they follow each other
"""

from numba.types import uint64

from einjit.kernel.intrinsics import minimum, pointer
from einjit.kernel.streams import stream, to_line
from einjit.kernel.turning import turn

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
            stream(Y, r * row, X, r * to_row, columns, 8)
    else:
        most = columns if to_panel == 1 else 16
        start = 0
        while start < columns:  # a panel
            width = minimum(columns - start, most)
            at = start * to_panel
            from_ = start * column
            if to_column == 1 and row == 1:
                turned = width - width % 8
                if width - turned > 2:
                    turned = width
                lines = to_row % 8 == 0 and to_line(X, at) == 0
                for c in range(0, turned, 8):
                    for r in range(0, rows, 8):
                        if lines:
                            turn(
                                X,
                                at + r * to_row + c,
                                to_row,
                                Y,
                                from_ + c * column + r,
                                column,
                                turned - c,
                                rows - r,
                                1,
                                8,
                            )
                        else:
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
                                8,
                            )
                for c in range(turned, width):
                    for r in range(rows):
                        X[at + r * to_row + c * to_column] = Y[from_ + r * row + c * column]
            else:
                for r in range(rows):
                    for c in range(width):
                        X[at + r * to_row + c * to_column] = Y[from_ + r * row + c * column]
            start += width
