"""ab,bc->ac

A[a, b]: complex64
B[b, c]: complex64
C[a, c]: complex64, summed in complex64
a: free, runs in parallel
b: contracted
c: free, innermost, unit stride in B, C
"""

from numba.types import complex64

from einjit.kernel.intrinsics import minimum, restrict, scratch
from einjit.kernel.rows import add_rows

CODEGEN = 1


def contract(first, last, operands, sizes):
    A = restrict(operands[0], complex64)
    B = restrict(operands[1], complex64)
    C = restrict(operands[2], complex64)
    # extents n_a; strides A_a in elements, where they are not 1
    n_b = sizes[0]
    n_c = sizes[1]
    A_a = sizes[2]
    A_b = sizes[3]
    B_b = sizes[4]
    C_a = sizes[5]
    total = scratch(4096, complex64)  # sums of a strip, in the cache
    for a in range(first, last):  # free, parallel: a tile each
        for low in range(0, n_c, 4096):  # strips of c
            high = minimum(n_c, low + 4096)
            for c in range(high - low):
                total[c] = complex64(0)
            for b in range(n_b):  # contracted
                hoisted_1 = A[a * A_a + b * A_b]
                c = low
                at_B_0 = b * B_b + c
                add_rows(total, B, (at_B_0,), (hoisted_1,), high - low, 4)
            for c in range(low, high):
                C[a * C_a + c] = total[c - low]
