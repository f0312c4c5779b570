"""abc,bc->c

A[a, b, c]: uint32
B[b, c]: uint32
C[c]: uint32, summed in uint32
a: contracted
b: contracted, each follows the one before
c: free, 7 side by side
"""

from numba.types import uint32

from einjit.kernel.columns import column_products
from einjit.kernel.intrinsics import minimum, restrict, scratch
from einjit.kernel.memory import parts

CODEGEN = 1


def contract(first, last, operands, sizes):
    A = restrict(operands[0], uint32)
    B = restrict(operands[1], uint32)
    C = restrict(operands[2], uint32)
    # extents n_a; strides A_a in elements, where they are not known
    n_a = sizes[0]
    n_b = sizes[1]
    A_a = sizes[2]
    C_c = sizes[3]
    sums = scratch(7, uint32)
    for _ in range(first, last):  # one tile
        length = n_b  # rows
        for step in range(7):
            sums[step] = uint32(0)
        for a in range(n_a):  # contracted
            at_A = a * A_a
            at_B = 0
            for block in range(parts(length, 2048)):  # of rows
                row = block * 2048
                rows = minimum(length - row, 2048)
                column_products(
                    sums, A, at_A + row * 7, B, at_B + row * 7, rows, 7, 0, 0, 1, 0, 0, 8
                )
        at = 0
        for c in range(7):
            C[at + c * C_c] = sums[c]
