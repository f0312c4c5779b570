"""a,b->ab

A[a]: float64
B[b]: float64
C[a, b]: float64
a: free, runs in parallel
b: free, innermost, unit stride in B, C
"""

from numba.types import float64

from einjit.kernel.intrinsics import restrict

CODEGEN = 1


def contract(first, last, operands, sizes):
    A = restrict(operands[0], float64)
    B = restrict(operands[1], float64)
    C = restrict(operands[2], float64)
    # extents n_a; strides A_a in elements, where they are not 1
    n_b = sizes[0]
    A_a = sizes[1]
    C_a = sizes[2]
    for a in range(first, last):  # free, parallel: a tile each
        hoisted_1 = A[a * A_a]
        for b in range(n_b):  # free, innermost
            C[a * C_a + b] = hoisted_1 * B[b] + float64(0)
