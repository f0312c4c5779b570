"""ab->b

A[a, b]: float16
B[b]: float32, summed in float32
a: contracted, its spans run in parallel
b: free, innermost, unit stride in A, B
"""

from numba.types import float32, uint16

from einjit.kernel.intrinsics import minimum, restrict, scratch, widen

CODEGEN = 1


def contract(first, last, operands, sizes):
    A = restrict(operands[0], uint16)
    B = restrict(operands[1], float32)
    # extents n_a; strides A_a in elements, where they are not 1
    n_a = sizes[0]
    A_a = sizes[1]
    span = sizes[2]
    B_tile = sizes[3]
    n_b = 8
    total = scratch(8192, float32)  # sums of a strip, in the cache
    part = scratch(8192, float32)  # and of one block of terms
    for tile in range(first, last):  # parallel: spans of a
        start = tile * span
        stop = minimum(n_a, start + span)
        for low in range(0, n_b, 8192):  # strips of b
            high = minimum(n_b, low + 8192)
            for b in range(high - low):
                total[b] = float32(0)
                part[b] = float32(0)
            terms = 0
            for a in range(start, stop):  # contracted
                for b in range(low, high):  # free, innermost
                    run = part[b - low]
                    run = run + widen(A[a * A_a + b])
                    part[b - low] = run
                terms += 1
                if terms >= 256:
                    for b in range(high - low):
                        total[b] = total[b] + part[b]
                        part[b] = float32(0)
                    terms = 0
            for b in range(low, high):
                B[tile * B_tile + b] = total[b - low] + part[b - low]
