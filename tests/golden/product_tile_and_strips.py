"""a,b->ab

A[a]: float16
B[b]: float16
C[a, b]: float16
a: free, runs in parallel
b: free, innermost, its strips run in parallel, unit stride in B, C
"""

from numba.types import float32, uint16

from einjit.kernel.intrinsics import minimum, narrow, pointer, widen

CODEGEN = 1


def contract(first, last, operands, sizes):
    A = pointer(operands[0], uint16)
    B = pointer(operands[1], uint16)
    C = pointer(operands[2], uint16)
    # extents n_a; strides A_a in elements, where they are not 1
    n_b = sizes[0]
    A_a = sizes[1]
    C_a = sizes[2]
    strips = (n_b + 4095) // 4096
    for tile in range(first, last):  # free, parallel: a, strips of b
        low = tile % strips * 4096
        high = minimum(n_b, low + 4096)
        a = tile // strips
        hoisted_1 = widen(A[a * A_a])
        for b in range(low, high):  # free, innermost
            C[a * C_a + b] = narrow(hoisted_1 * widen(B[b]) + float32(0))
