"""ab,bc->ac

A[a, b]: float64
B[b, c]: float64
C[a, c]: float64, summed in float64
a: free, runs in parallel
b: contracted
c: free, innermost, its strips run in parallel, unit stride in B, C
"""

from numba.types import float64

from einjit.kernel.intrinsics import minimum, restrict, scratch
from einjit.kernel.memory import parts

CODEGEN = 1


def contract(first, last, operands, sizes):
    A = restrict(operands[0], float64)
    B = restrict(operands[1], float64)
    C = restrict(operands[2], float64)
    # extents n_a; strides A_a in elements, where they are not 1
    n_b = sizes[0]
    n_c = sizes[1]
    A_a = sizes[2]
    A_b = sizes[3]
    B_b = sizes[4]
    C_a = sizes[5]
    strip = parts(n_c, 16 * parts(n_c, 65536))  # of its elements
    total = scratch(4096, float64)  # sums of a strip, in the cache
    strips = parts(n_c, strip)
    low = first % strips * strip
    rest = first // strips
    a = rest
    for _ in range(first, last):  # free, parallel: a, strips of c
        high = minimum(n_c, low + strip)
        for c in range(high - low):
            total[c] = float64(0)
        for group in range(n_b // 4):  # 4 at a time
            b = group * 4
            hoisted_1 = A[a * A_a + b * A_b]
            hoisted_1_1 = A[a * A_a + (b + 1) * A_b]
            hoisted_1_2 = A[a * A_a + (b + 2) * A_b]
            hoisted_1_3 = A[a * A_a + (b + 3) * A_b]
            for c in range(low, high):  # free, innermost
                run = total[c - low]
                run = run + hoisted_1 * B[b * B_b + c]
                run = run + hoisted_1_1 * B[(b + 1) * B_b + c]
                run = run + hoisted_1_2 * B[(b + 2) * B_b + c]
                run = run + hoisted_1_3 * B[(b + 3) * B_b + c]
                total[c - low] = run
        for b in range(n_b - n_b % 4, n_b):  # the rest
            hoisted_1 = A[a * A_a + b * A_b]
            for c in range(low, high):  # free, innermost
                run = total[c - low]
                run = run + hoisted_1 * B[b * B_b + c]
                total[c - low] = run
        for c in range(low, high):
            C[a * C_a + c] = total[c - low]
        low += strip
        if low >= n_c:
            low = 0
            a += 1
