"""ab,a->b

A[a, b]: complex64
B[a]: complex64
C[b]: complex64, summed in complex64
a: contracted, each follows the one before, its spans run in parallel
b: free, 5 side by side
"""

from numba.types import complex64

from einjit.kernel.columns import column_products
from einjit.kernel.intrinsics import minimum, restrict, scratch
from einjit.kernel.memory import parts

CODEGEN = 1


def contract(first, last, operands, sizes):
    A = restrict(operands[0], complex64)
    B = restrict(operands[1], complex64)
    C = restrict(operands[2], complex64)
    # extents n_a; strides A_a in elements, where they are not known
    n_a = sizes[0]
    C_b = sizes[1]
    span = sizes[2]
    C_tile = sizes[3]
    sums = scratch(5, complex64)
    for tile in range(first, last):  # parallel
        piece = tile
        begin = piece * span
        length = minimum(n_a - begin, span)  # rows
        for step in range(5):
            sums[step] = complex64(0)
        at_A = begin * 5
        at_B = begin
        for block in range(parts(length, 1024)):  # of rows
            row = block * 1024
            rows = minimum(length - row, 1024)
            column_products(sums, A, at_A + row * 5, B, at_B + row, rows, 5, 1, 0, 1, 1, 0, 4)
        at = piece * C_tile
        for b in range(5):
            C[at + b * C_b] = sums[b]
