"""a,ab->b

A[a]: float64
B[a, b]: float64
C[b]: float64, summed in float64
a: contracted
b: free, innermost, its strips run in parallel, unit stride in B, C
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
    n_a = sizes[0]
    n_b = sizes[1]
    A_a = sizes[2]
    B_a = sizes[3]
    strip = parts(n_b, 16 * parts(n_b, 262144))  # of its elements
    total = scratch(16384, float64)  # sums of a strip, in the cache
    for tile in range(first, last):  # free, parallel: strips of b
        low = tile * strip
        high = minimum(n_b, low + strip)
        for b in range(high - low):
            total[b] = float64(0)
        for group in range(n_a // 8):  # 8 at a time
            a = group * 8
            hoisted_1 = A[a * A_a]
            hoisted_1_1 = A[(a + 1) * A_a]
            hoisted_1_2 = A[(a + 2) * A_a]
            hoisted_1_3 = A[(a + 3) * A_a]
            hoisted_1_4 = A[(a + 4) * A_a]
            hoisted_1_5 = A[(a + 5) * A_a]
            hoisted_1_6 = A[(a + 6) * A_a]
            hoisted_1_7 = A[(a + 7) * A_a]
            for b in range(low, high):  # free, innermost
                run = total[b - low]
                run = run + hoisted_1 * B[a * B_a + b]
                run = run + hoisted_1_1 * B[(a + 1) * B_a + b]
                run = run + hoisted_1_2 * B[(a + 2) * B_a + b]
                run = run + hoisted_1_3 * B[(a + 3) * B_a + b]
                run = run + hoisted_1_4 * B[(a + 4) * B_a + b]
                run = run + hoisted_1_5 * B[(a + 5) * B_a + b]
                run = run + hoisted_1_6 * B[(a + 6) * B_a + b]
                run = run + hoisted_1_7 * B[(a + 7) * B_a + b]
                total[b - low] = run
        for group in range(n_a % 8 // 4):  # 4 at a time
            a = n_a - n_a % 8 + group * 4
            hoisted_1 = A[a * A_a]
            hoisted_1_1 = A[(a + 1) * A_a]
            hoisted_1_2 = A[(a + 2) * A_a]
            hoisted_1_3 = A[(a + 3) * A_a]
            for b in range(low, high):  # free, innermost
                run = total[b - low]
                run = run + hoisted_1 * B[a * B_a + b]
                run = run + hoisted_1_1 * B[(a + 1) * B_a + b]
                run = run + hoisted_1_2 * B[(a + 2) * B_a + b]
                run = run + hoisted_1_3 * B[(a + 3) * B_a + b]
                total[b - low] = run
        for a in range(n_a - n_a % 8 % 4, n_a):  # the rest
            hoisted_1 = A[a * A_a]
            for b in range(low, high):  # free, innermost
                run = total[b - low]
                run = run + hoisted_1 * B[a * B_a + b]
                total[b - low] = run
        for b in range(low, high):
            C[b] = total[b - low]
