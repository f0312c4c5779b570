"""abc,acd->abd

A[a, b, c]: float32
B[a, c, d]: float32
C[a, b, d]: float32, summed in float32
a: free, runs in parallel
b: free, in tiles of 1 × 6 rows
c: contracted, within the tiles
d: free, in tiles of 1 × 5 lanes
"""

from numba.types import float32

from einjit.kernel.intrinsics import restrict, scratch
from einjit.kernel.vectors import product, update

CODEGEN = 1


def contract(first, last, operands, sizes):
    A = restrict(operands[0], float32)
    B = restrict(operands[1], float32)
    C = restrict(operands[2], float32)
    # extents n_a; strides A_a in elements, where they are not 1
    A_a = sizes[0]
    A_b = sizes[1]
    B_a = sizes[2]
    C_a = sizes[3]
    C_b = sizes[4]
    n_c = 4
    n_d = 5
    A_c = 1
    B_c = 1
    B_d = 4
    turned = scratch(20, float32)  # B, its columns side by side
    for a in range(first, last):  # free, parallel: a tile each
        at_A = a * A_a
        at_B = a * B_a
        at_C = a * C_a
        for c in range(n_c):
            for d in range(n_d):
                turned[c * n_d + d] = B[at_B + c * B_c + d * B_d]
        b = 0
        tile = product(A, at_A + b * A_b, A_b, A_c, turned, 0, n_d, n_c, 6, 1, 0, 0, 0, 5)
        update(tile, C, at_C + b * C_b, C_b, 5, 0)
