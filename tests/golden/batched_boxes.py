"""abc,cd->abd

A[a, b, c]: float64
B[c, d]: float64
C[a, b, d]: float64, summed in float64
a: free, runs in parallel
b: free, in tiles of 1 × 12 rows
c: contracted, within the tiles
d: free, in tiles of 1 × 4 lanes
"""

from numba.types import float64

from einjit.kernel.intrinsics import restrict, scratch
from einjit.kernel.vectors import product, update

CODEGEN = 1


def contract(first, last, operands, sizes):
    A = restrict(operands[0], float64)
    B = restrict(operands[1], float64)
    C = restrict(operands[2], float64)
    # extents n_a; strides A_a in elements, where they are not 1
    rows = sizes[0]
    n_c = 5
    n_d = 4
    A_b = 5
    A_c = 1
    B_c = 1
    B_d = 5
    C_b = 4
    turned = scratch(20, float64)  # B, its columns side by side
    at_B = 0
    for c in range(n_c):
        for d in range(n_d):
            turned[c * n_d + d] = B[at_B + c * B_c + d * B_d]
    for a in range(first, last):  # free, parallel: a tile each
        row = a * 12  # of a box
        rest = rows - row if row + 12 > rows else 0
        if rest == 0:
            at_A = row * A_b
            at_B = 0
            at_C = row * C_b
            b = 0
            tile = product(A, at_A + b * A_b, A_b, A_c, turned, 0, n_d, n_c, 12, 1, 0, 0, 0, 4)
            update(tile, C, at_C + b * C_b, C_b, 4, 0)
        for _ in range(rest):
            at_A = row * A_b
            at_B = 0
            at_C = row * C_b
            b = 0
            tile = product(A, at_A + b * A_b, A_b, A_c, turned, 0, n_d, n_c, 1, 1, 0, 0, 0, 4)
            update(tile, C, at_C + b * C_b, C_b, 4, 0)
            row += 1
