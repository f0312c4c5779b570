"""a,b->ab

A[a]: float16
B[b]: float16
C[a, b]: float16
a: free, runs in parallel
b: free, innermost, its strips run in parallel, unit stride in B, C
"""

from numba.types import float32, uint16

from einjit.kernel.intrinsics import minimum, narrow, restrict, widen
from einjit.kernel.memory import parts

CODEGEN = 1


def contract(first, last, operands, sizes):
    A = restrict(operands[0], uint16)
    B = restrict(operands[1], uint16)
    C = restrict(operands[2], uint16)
    # extents n_a; strides A_a in elements, where they are not 1
    n_b = sizes[0]
    A_a = sizes[1]
    C_a = sizes[2]
    strips = parts(n_b, 8192)
    low = first % strips * 8192
    rest = first // strips
    a = rest
    for _ in range(first, last):  # free, parallel: a, strips of b
        high = minimum(n_b, low + 8192)
        hoisted_1 = widen(A[a * A_a])
        for b in range(low, high):  # free, innermost
            C[a * C_a + b] = narrow(hoisted_1 * widen(B[b]) + float32(0))
        low += 8192
        if low >= n_b:
            low = 0
            a += 1
