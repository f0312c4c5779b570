"""acde,abcef->abdf

A[a, c, d, e]: int32
B[a, b, c, e, f]: int32
C[a, b, d, f]: int32, summed in int32
a: free, runs in parallel
b: free
c: contracted
d: free, in tiles of 3 × 10 rows
e: contracted, within the tiles
f: free, in tiles of 1 × 8 + 1 × 1 lanes
"""

from numba.types import int32

from einjit.kernel.intrinsics import restrict
from einjit.kernel.vectors import product, update

CODEGEN = 1


def contract(first, last, operands, sizes):
    A = restrict(operands[0], int32)
    B = restrict(operands[1], int32)
    C = restrict(operands[2], int32)
    # extents n_a; strides A_a in elements, where they are not 1
    A_a = sizes[0]
    A_e = sizes[1]
    B_a = sizes[2]
    B_b = sizes[3]
    C_a = sizes[4]
    C_b = sizes[5]
    n_b = 2
    n_c = 4
    n_e = 6
    A_c = 1
    A_d = 4
    B_c = 9
    B_e = 36
    C_d = 9
    for a in range(first, last):  # free, parallel: a tile each
        for b in range(n_b):  # free
            for c in range(n_c):  # contracted
                at_A = a * A_a + c * A_c
                at_B = a * B_a + b * B_b + c * B_c
                at_C = a * C_a + b * C_b
                for box in range(3):  # tiles of d
                    d = box * 10
                    tile = product(
                        A, at_A + d * A_d, A_d, A_e, B, at_B, B_e, n_e, 10, 1, 0, 0, 0, 8
                    )
                    update(tile, C, at_C + d * C_d, C_d, 8, c)
                    tile = product(
                        A, at_A + d * A_d, A_d, A_e, B, at_B + 8, B_e, n_e, 10, 1, 0, 0, 0, 1
                    )
                    update(tile, C, at_C + d * C_d + 8, C_d, 1, c)
