"""a,ab->b

A[a]: complex128
B[a, b]: complex128
C[b]: complex128, summed in complex128
a: contracted
b: free, innermost, unit stride in B, C
"""

from numba.types import complex128

from einjit.kernel.intrinsics import minimum, restrict, scratch
from einjit.kernel.memory import parts
from einjit.kernel.rows import add_rows

CODEGEN = 1


def contract(first, last, operands, sizes):
    A = restrict(operands[0], complex128)
    B = restrict(operands[1], complex128)
    C = restrict(operands[2], complex128)
    # extents n_a; strides A_a in elements, where they are not 1
    n_a = sizes[0]
    n_b = sizes[1]
    A_a = sizes[2]
    B_a = sizes[3]
    strip = parts(n_b, parts(n_b, 8192))  # of its elements
    total = scratch(8192, complex128)  # sums of a strip, in the cache
    for _ in range(first, last):  # one tile
        for number in range(parts(n_b, strip)):  # strips of b
            low = number * strip
            high = minimum(n_b, low + strip)
            for b in range(high - low):
                total[b] = complex128(0)
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
                b = low
                at_B_0 = a * B_a + b
                at_B_1 = (a + 1) * B_a + b
                at_B_2 = (a + 2) * B_a + b
                at_B_3 = (a + 3) * B_a + b
                at_B_4 = (a + 4) * B_a + b
                at_B_5 = (a + 5) * B_a + b
                at_B_6 = (a + 6) * B_a + b
                at_B_7 = (a + 7) * B_a + b
                add_rows(
                    total,
                    B,
                    (at_B_0, at_B_1, at_B_2, at_B_3, at_B_4, at_B_5, at_B_6, at_B_7),
                    (
                        hoisted_1,
                        hoisted_1_1,
                        hoisted_1_2,
                        hoisted_1_3,
                        hoisted_1_4,
                        hoisted_1_5,
                        hoisted_1_6,
                        hoisted_1_7,
                    ),
                    high - low,
                    2,
                )
            for group in range(n_a % 8 // 4):  # 4 at a time
                a = n_a - n_a % 8 + group * 4
                hoisted_1 = A[a * A_a]
                hoisted_1_1 = A[(a + 1) * A_a]
                hoisted_1_2 = A[(a + 2) * A_a]
                hoisted_1_3 = A[(a + 3) * A_a]
                b = low
                at_B_0 = a * B_a + b
                at_B_1 = (a + 1) * B_a + b
                at_B_2 = (a + 2) * B_a + b
                at_B_3 = (a + 3) * B_a + b
                add_rows(
                    total,
                    B,
                    (at_B_0, at_B_1, at_B_2, at_B_3),
                    (hoisted_1, hoisted_1_1, hoisted_1_2, hoisted_1_3),
                    high - low,
                    2,
                )
            for a in range(n_a - n_a % 8 % 4, n_a):  # the rest
                hoisted_1 = A[a * A_a]
                b = low
                at_B_0 = a * B_a + b
                add_rows(total, B, (at_B_0,), (hoisted_1,), high - low, 2)
            for b in range(low, high):
                C[b] = total[b - low]
