"""abc,acd->abd

A[a, b, c]: float64
B[a, c, d]: float64
C[a, b, d]: float64, summed in float64, past the caches
a: free, runs in parallel
b: free, in tiles of 1 × 4 rows
c: contracted, within the tiles
d: free, in tiles of 2 × 4 lanes
"""

from numba.types import float64

from einjit.kernel.intrinsics import restrict
from einjit.kernel.streams import settle
from einjit.kernel.vectors import product, update_past

CODEGEN = 1


def contract(first, last, operands, sizes):
    A = restrict(operands[0], float64)
    B = restrict(operands[1], float64)
    C = restrict(operands[2], float64)
    # extents n_a; strides A_a in elements, where they are not 1
    A_a = sizes[0]
    B_a = sizes[1]
    C_a = sizes[2]
    n_c = 5
    A_b = 5
    A_c = 1
    B_c = 8
    C_b = 8
    for a in range(first, last):  # free, parallel: a tile each
        at_A = a * A_a
        at_B = a * B_a
        at_C = a * C_a
        b = 0
        tile = product(A, at_A + b * A_b, A_b, A_c, B, at_B, B_c, n_c, 4, 2, 0, 0, 0, 4)
        update_past(tile, C, at_C + b * C_b, C_b, 4)
    settle()
