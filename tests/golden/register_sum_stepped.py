"""ab,ab->a

A[a, b]: float64
B[a, b]: float64
C[a]: float64, summed in float64
a: free, runs in parallel
b: contracted, innermost
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
    A_b = sizes[2]
    B_a = sizes[3]
    B_b = sizes[4]
    C_a = sizes[5]
    for a in range(first, last):  # free, parallel: a tile each
        total = float64(0)
        for b in range(n_b):  # contracted, innermost
            product = A[a * A_a + b * A_b] * B[a * B_a + b * B_b]
            total = total + product
        C[a * C_a] = total
