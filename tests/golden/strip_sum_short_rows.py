"""abc->ac

A[a, b, c]: float32
B[a, c]: float32, summed in float32
a: free, runs in parallel
b: contracted
c: free, innermost, unit stride in A, B
"""

from numba.types import float32

from einjit.kernel.intrinsics import minimum, restrict, scratch

CODEGEN = 1


def contract(first, last, operands, sizes):
    A = restrict(operands[0], float32)
    B = restrict(operands[1], float32)
    # extents n_a; strides A_a in elements, where they are not 1
    n_b = sizes[0]
    A_a = sizes[1]
    A_b = sizes[2]
    B_a = sizes[3]
    n_c = 24
    total = scratch(8192, float32)  # sums of a strip, in the cache
    for a in range(first, last):  # free, parallel: a tile each
        for low in range(0, n_c, 8192):  # strips of c
            high = minimum(n_c, low + 8192)
            for c in range(high - low):
                total[c] = float32(0)
            for b in range(n_b):  # contracted
                for c in range(low, high):  # free, innermost
                    run = total[c - low]
                    run = run + A[a * A_a + b * A_b + c]
                    total[c - low] = run
            for c in range(low, high):
                B[a * B_a + c] = total[c - low]
