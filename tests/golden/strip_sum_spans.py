"""ab->b

A[a, b]: uint32
B[b]: uint32, summed in uint32
a: contracted, its spans run in parallel
b: free, innermost, unit stride in A, B
"""

from numba.types import uint32

from einjit.kernel.intrinsics import minimum, restrict, scratch

CODEGEN = 1


def contract(first, last, operands, sizes):
    A = restrict(operands[0], uint32)
    B = restrict(operands[1], uint32)
    # extents n_a; strides A_a in elements, where they are not 1
    n_a = sizes[0]
    A_a = sizes[1]
    span = sizes[2]
    B_tile = sizes[3]
    n_b = 8
    total = scratch(8192, uint32)  # sums of a strip, in the cache
    for tile in range(first, last):  # parallel: spans of a
        start = tile * span
        stop = minimum(n_a, start + span)
        for low in range(0, n_b, 8192):  # strips of b
            high = minimum(n_b, low + 8192)
            for b in range(high - low):
                total[b] = uint32(0)
            for a in range(start, stop):  # contracted
                for b in range(low, high):  # free, innermost
                    run = total[b - low]
                    run = uint32(run + A[a * A_a + b])
                    total[b - low] = run
            for b in range(low, high):
                B[tile * B_tile + b] = total[b - low]
