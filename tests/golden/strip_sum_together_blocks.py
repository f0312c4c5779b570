"""ab,bc->ac

A[a, b]: float64
B[b, c]: float64
C[a, c]: float64, summed in float64
a: free
b: contracted, its spans run in parallel
c: free, innermost, unit stride in B, C
"""

from numba.types import float64

from einjit.kernel.intrinsics import minimum, restrict, scratch

CODEGEN = 1


def contract(first, last, operands, sizes):
    A = restrict(operands[0], float64)
    B = restrict(operands[1], float64)
    C = restrict(operands[2], float64)
    # extents n_a; strides A_a in elements, where they are not 1
    n_a = sizes[0]
    n_b = sizes[1]
    n_c = sizes[2]
    A_a = sizes[3]
    A_b = sizes[4]
    B_b = sizes[5]
    C_a = sizes[6]
    span = sizes[7]
    C_tile = sizes[8]
    total = scratch(4096, float64)  # sums of a strip, in the cache
    part = scratch(4096, float64)  # and of one block of terms
    for tile in range(first, last):  # parallel: spans of b
        start = tile * span
        stop = minimum(n_b, start + span)
        for a in range(n_a):  # free
            for low in range(0, n_c, 4096):  # strips of c
                high = minimum(n_c, low + 4096)
                for c in range(high - low):
                    total[c] = float64(0)
                    part[c] = float64(0)
                terms = 0
                for group in range((stop - start) // 4):  # contracted, 4 at a time
                    b = start + group * 4
                    hoisted_1 = A[a * A_a + b * A_b]
                    hoisted_1_1 = A[a * A_a + (b + 1) * A_b]
                    hoisted_1_2 = A[a * A_a + (b + 2) * A_b]
                    hoisted_1_3 = A[a * A_a + (b + 3) * A_b]
                    for c in range(low, high):  # free, innermost
                        run = part[c - low]
                        run = run + hoisted_1 * B[b * B_b + c]
                        run = run + hoisted_1_1 * B[(b + 1) * B_b + c]
                        run = run + hoisted_1_2 * B[(b + 2) * B_b + c]
                        run = run + hoisted_1_3 * B[(b + 3) * B_b + c]
                        part[c - low] = run
                    terms += 4
                    if terms >= 253:
                        for c in range(high - low):
                            total[c] = total[c] + part[c]
                            part[c] = float64(0)
                        terms = 0
                for b in range(stop - (stop - start) % 4, stop):  # contracted, the rest
                    hoisted_1 = A[a * A_a + b * A_b]
                    for c in range(low, high):  # free, innermost
                        run = part[c - low]
                        run = run + hoisted_1 * B[b * B_b + c]
                        part[c - low] = run
                    terms += 1
                    if terms >= 253:
                        for c in range(high - low):
                            total[c] = total[c] + part[c]
                            part[c] = float64(0)
                        terms = 0
                for c in range(low, high):
                    C[tile * C_tile + a * C_a + c] = total[c - low] + part[c - low]
