"""ac,ab->bc

A[a, c]: float64
B[a, b]: float64
C[b, c]: float64, summed in float64
a: contracted, each follows the one before
b: free, 7 side by side
c: free, 6 side by side
"""

from numba.types import float64

from einjit.kernel.columns import column_products
from einjit.kernel.intrinsics import minimum, restrict, scratch
from einjit.kernel.memory import parts

CODEGEN = 1


def contract(first, last, operands, sizes):
    A = restrict(operands[0], float64)
    B = restrict(operands[1], float64)
    C = restrict(operands[2], float64)
    # extents n_a; strides A_a in elements, where they are not known
    n_a = sizes[0]
    C_b = sizes[1]
    C_c = sizes[2]
    sums = scratch(42, float64)
    for _ in range(first, last):  # one tile
        length = n_a  # rows
        for step in range(42):
            sums[step] = float64(0)
        at_A = 0
        at_B = 0
        for block in range(parts(length, 512)):  # of rows
            row = block * 512
            rows = minimum(length - row, 512)
            column_products(sums, A, at_A + row * 6, B, at_B + row * 7, rows, 6, 7, 0, 3, 1, 0, 4)
            column_products(sums, A, at_A + row * 6, B, at_B + row * 7, rows, 6, 7, 3, 7, 1, 0, 4)
        at = 0
        for b in range(7):
            for c in range(6):
                C[at + b * C_b + c * C_c] = sums[b * 6 + c]
