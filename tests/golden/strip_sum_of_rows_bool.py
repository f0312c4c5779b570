"""abc->b

A[a, b, c]: bool
B[b]: bool, summed in bool
a: contracted
b: free
c: contracted, innermost, unit stride in A
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
    n_c = sizes[2]
    A_a = sizes[3]
    A_b = sizes[4]
    B_b = sizes[5]
    total = scratch(32768, uint8)  # sums of a strip, in the cache
    for _ in range(first, last):  # one tile
        for low in range(0, n_b, 32768):  # strips of b
            high = minimum(n_b, low + 32768)
            for b in range(high - low):
                total[b] = uint8(0)
            for a in range(n_a):  # contracted
                for b in range(low, high):  # free
                    run = uint8(0)
                    for c in range(n_c):  # contracted, innermost
                        run = uint8(run | uint8(A[a * A_a + b * A_b + c] != 0))
                    total[b - low] = uint8(total[b - low] | run)
            for b in range(low, high):
                B[b * B_b] = total[b - low]
