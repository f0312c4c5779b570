"""a,ab->b

A[a]: float16
B[a, b]: float16
C[b]: float16, summed in float32
a: contracted
b: free, innermost, its strips run in parallel, unit stride in B, C
"""

from numba.types import float32, uint16

from einjit.kernel.intrinsics import minimum, narrow, restrict, scratch, widen
from einjit.kernel.memory import parts

CODEGEN = 1


def contract(first, last, operands, sizes):
    A = restrict(operands[0], uint16)
    B = restrict(operands[1], uint16)
    C = restrict(operands[2], uint16)
    # extents n_a; strides A_a in elements, where they are not 1
    n_a = sizes[0]
    n_b = sizes[1]
    A_a = sizes[2]
    B_a = sizes[3]
    strip = parts(n_b, 16 * parts(n_b, 131072))  # of its elements
    total = scratch(8192, float32)  # sums of a strip, in the cache
    for tile in range(first, last):  # free, parallel: strips of b
        low = tile * strip
        high = minimum(n_b, low + strip)
        for b in range(high - low):
            total[b] = float32(0)
        for group in range(n_a // 4):  # 4 at a time
            a = group * 4
            hoisted_1 = widen(A[a * A_a])
            hoisted_1_1 = widen(A[(a + 1) * A_a])
            hoisted_1_2 = widen(A[(a + 2) * A_a])
            hoisted_1_3 = widen(A[(a + 3) * A_a])
            for b in range(low, high):  # free, innermost
                run = total[b - low]
                run = run + hoisted_1 * widen(B[a * B_a + b])
                product = hoisted_1_1 * widen(B[(a + 1) * B_a + b])
                run = run + product
                product = hoisted_1_2 * widen(B[(a + 2) * B_a + b])
                run = run + product
                product = hoisted_1_3 * widen(B[(a + 3) * B_a + b])
                run = run + product
                total[b - low] = run
        for a in range(n_a - n_a % 4, n_a):  # the rest
            hoisted_1 = widen(A[a * A_a])
            for b in range(low, high):  # free, innermost
                run = total[b - low]
                run = run + hoisted_1 * widen(B[a * B_a + b])
                total[b - low] = run
        for b in range(low, high):
            C[b] = narrow(total[b - low])
