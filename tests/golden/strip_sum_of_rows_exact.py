"""abc,ac->b

A[a, b, c]: int16
B[a, c]: int16
C[b]: int16, summed in int16
a: contracted, its spans run in parallel
b: free
c: contracted, innermost, unit stride in A, B
"""

from numba.types import int16

from einjit.kernel.intrinsics import minimum, restrict, scratch

CODEGEN = 1


def contract(first, last, operands, sizes):
    A = restrict(operands[0], int16)
    B = restrict(operands[1], int16)
    C = restrict(operands[2], int16)
    # extents n_a; strides A_a in elements, where they are not 1
    n_a = sizes[0]
    n_b = sizes[1]
    n_c = sizes[2]
    A_a = sizes[3]
    A_b = sizes[4]
    B_a = sizes[5]
    C_b = sizes[6]
    span = sizes[7]
    C_tile = sizes[8]
    total = scratch(16384, int16)  # sums of a strip, in the cache
    for tile in range(first, last):  # parallel: spans of a
        start = tile * span
        stop = minimum(n_a, start + span)
        for low in range(0, n_b, 16384):  # strips of b
            high = minimum(n_b, low + 16384)
            for b in range(high - low):
                total[b] = int16(0)
            for a in range(start, stop):  # contracted
                for b in range(low, high):  # free
                    run = int16(0)
                    for c in range(n_c):  # contracted, innermost
                        product = int16(A[a * A_a + b * A_b + c] * B[a * B_a + c])
                        run = int16(run + product)
                    total[b - low] = int16(total[b - low] + run)
            for b in range(low, high):
                C[tile * C_tile + b * C_b] = total[b - low]
