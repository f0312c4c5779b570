"""ab->b

A[a, b]: bool
B[b]: bool, summed in bool
a: contracted, its spans run in parallel
b: free, innermost, unit stride in A, B
"""

from numba.types import uint8

from einjit.kernel.intrinsics import minimum, restrict, scratch

CODEGEN = 1


def contract(first, last, operands, sizes):
    A = restrict(operands[0], uint8)
    B = restrict(operands[1], uint8)
    # extents n_a; strides A_a in elements, where they are not 1
    n_a = sizes[0]
    n_b = sizes[1]
    A_a = sizes[2]
    span = sizes[3]
    B_tile = sizes[4]
    total = scratch(32768, uint8)  # sums of a strip, in the cache
    for tile in range(first, last):  # parallel: spans of a
        start = tile * span
        stop = minimum(n_a, start + span)
        for low in range(0, n_b, 32768):  # strips of b
            high = minimum(n_b, low + 32768)
            for b in range(high - low):
                total[b] = uint8(0)
            for a in range(start, stop):  # contracted
                for b in range(low, high):  # free, innermost
                    run = total[b - low]
                    run = uint8(run | uint8(A[a * A_a + b] != 0))
                    total[b - low] = run
            for b in range(low, high):
                B[tile * B_tile + b] = total[b - low]
