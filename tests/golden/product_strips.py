"""a,a->a

A[a]: float64
B[a]: float64
C[a]: float64
a: free, innermost, its strips run in parallel, unit stride in A, B, C
"""

from numba.types import float64

from einjit.kernel.intrinsics import minimum, restrict

CODEGEN = 1


def contract(first, last, operands, sizes):
    A = restrict(operands[0], float64)
    B = restrict(operands[1], float64)
    C = restrict(operands[2], float64)
    # extents n_a; strides A_a in elements, where they are not 1
    n_a = sizes[0]
    for tile in range(first, last):  # free, parallel: strips of a
        low = tile * 4096
        high = minimum(n_a, low + 4096)
        for a in range(low, high):  # free, innermost
            C[a] = A[a] * B[a] + float64(0)
