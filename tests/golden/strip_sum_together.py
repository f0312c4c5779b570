"""ab,b->a

A[a, b]: float64
B[b]: float64
C[a]: float64, summed in float64
a: free, runs in parallel
b: contracted, innermost, unit stride in B
"""

from numba.types import float64

from einjit.kernel.intrinsics import restrict, scratch

CODEGEN = 1


def contract(first, last, operands, sizes):
    A = restrict(operands[0], float64)
    B = restrict(operands[1], float64)
    C = restrict(operands[2], float64)
    # extents n_a; strides A_a in elements, where they are not 1
    A_b = sizes[0]
    n_b = 9
    A_a = 1
    C_a = 1
    B_held = scratch(9, float64)
    for b in range(n_b):
        B_held[b] = B[b]
    for a in range(first, last):  # free, parallel: a tile each
        total = float64(0)
        for b in range(n_b):  # contracted
            total = total + A[a * A_a + b * A_b] * B_held[b]
        C[a * C_a] = total
