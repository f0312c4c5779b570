"""ab,bc->ac

A[a, b]: float16
B[b, c]: float16
C[a, c]: float16, summed in float32
a: free, runs in parallel
b: contracted
c: free, innermost, unit stride in B, C
"""

from numba.types import float32, uint16

from einjit.kernel.intrinsics import minimum, narrow, restrict, scratch, widen

CODEGEN = 1


def contract(first, last, operands, sizes):
    A = restrict(operands[0], uint16)
    B = restrict(operands[1], uint16)
    C = restrict(operands[2], uint16)
    # extents n_a; strides A_a in elements, where they are not 1
    n_b = sizes[0]
    n_c = sizes[1]
    A_a = sizes[2]
    A_b = sizes[3]
    B_b = sizes[4]
    C_a = sizes[5]
    total = scratch(8192, float32)  # sums of a strip, in the cache
    part = scratch(8192, float32)  # and of one block of terms
    for a in range(first, last):  # free, parallel: a tile each
        for low in range(0, n_c, 8192):  # strips of c
            high = minimum(n_c, low + 8192)
            for c in range(high - low):
                total[c] = float32(0)
                part[c] = float32(0)
            terms = 0
            for b in range(n_b):  # contracted
                hoisted_1 = widen(A[a * A_a + b * A_b])
                for c in range(low, high):  # free, innermost
                    run = part[c - low]
                    run = run + hoisted_1 * widen(B[b * B_b + c])
                    part[c - low] = run
                terms += 1
                if terms >= 256:
                    for c in range(high - low):
                        total[c] = total[c] + part[c]
                        part[c] = float32(0)
                    terms = 0
            for c in range(low, high):
                C[a * C_a + c] = narrow(total[c - low] + part[c - low])
