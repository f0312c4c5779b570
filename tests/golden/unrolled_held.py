"""ac,bc->ab

A[a, c]: float64
B[b, c]: float64
C[a, b]: float64, summed in float64
a: free, runs in parallel
b: free
c: contracted, innermost, unit stride in A, B
"""

from numba.types import float64

from einjit.kernel.intrinsics import restrict, scratch

CODEGEN = 1


def contract(first, last, operands, sizes):
    A = restrict(operands[0], float64)
    B = restrict(operands[1], float64)
    C = restrict(operands[2], float64)
    # extents n_a; strides A_a in elements, where they are not 1
    n_b = 3
    n_c = 3
    A_a = 3
    B_b = 3
    C_a = 3
    C_b = 1
    totals = scratch(3, float64)  # in registers
    B_held = scratch(9, float64)
    for b in range(n_b):
        for c in range(n_c):
            B_held[b * 3 + c] = B[b * B_b + c]
    for a in range(first, last):  # free, parallel: a tile each
        for b in range(n_b):
            total = float64(0)
            for c in range(n_c):  # contracted
                total = total + A[a * A_a + c] * B_held[b * 3 + c]
            totals[b] = total
        for b in range(n_b):
            C[a * C_a + b * C_b] = totals[b]
