"""a,a->a

A[a]: complex128
B[a]: complex128
C[a]: complex128
a: free, innermost, its strips run in parallel, unit stride in A, B, C
"""

from numba.types import complex128

from einjit.kernel.intrinsics import minimum, restrict, times

CODEGEN = 1


def contract(first, last, operands, sizes):
    A = restrict(operands[0], complex128)
    B = restrict(operands[1], complex128)
    C = restrict(operands[2], complex128)
    # extents n_a; strides A_a in elements, where they are not 1
    n_a = sizes[0]
    for tile in range(first, last):  # free, parallel: strips of a
        low = tile * 2048
        high = minimum(n_a, low + 2048)
        for a in range(low, high):  # free, innermost
            C[a] = times(A[a], B[a]) + complex128(0)
