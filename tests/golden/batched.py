"""abc,acd->abd

A[a, b, c]: complex64
B[a, c, d]: complex64
C[a, b, d]: complex64, summed in complex64
a: free, runs in parallel
b: free, in tiles of 1 × 3 rows
c: contracted, within the tiles
d: free, in tiles of 1 × 3 lanes
"""

from numba.types import complex64

from einjit.kernel.intrinsics import restrict
from einjit.kernel.vectors import product, update

CODEGEN = 1


def contract(first, last, operands, sizes):
    A = restrict(operands[0], complex64)
    B = restrict(operands[1], complex64)
    C = restrict(operands[2], complex64)
    # extents n_a; strides A_a in elements, where they are not 1
    A_a = sizes[0]
    B_a = sizes[1]
    C_a = sizes[2]
    n_c = 3
    A_b = 3
    A_c = 1
    B_c = 3
    C_b = 3
    for a in range(first, last):  # free, parallel: a tile each
        at_A = a * A_a
        at_B = a * B_a
        at_C = a * C_a
        b = 0
        tile = product(A, at_A + b * A_b, A_b, A_c, B, at_B, B_c, n_c, 3, 1, 0, 0, 0, 3)
        update(tile, C, at_C + b * C_b, C_b, 3, 0)
