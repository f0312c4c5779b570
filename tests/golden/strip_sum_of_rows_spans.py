"""abc,ac->b

A[a, b, c]: float32
B[a, c]: float32
C[b]: float32, summed in float32
a: contracted, its spans run in parallel
b: free
c: contracted, innermost, unit stride in A, B
"""

from numba.types import float32

from einjit.kernel.intrinsics import minimum, restrict, scratch

CODEGEN = 1


def contract(first, last, operands, sizes):
    A = restrict(operands[0], float32)
    B = restrict(operands[1], float32)
    C = restrict(operands[2], float32)
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
                for b in range(low, high):  # free
                    for block in range(0, n_c, 256):  # of terms
                        end = minimum(n_c, block + 256)
                        run = float32(0)
                        for c in range(block, end):  # contracted, innermost
                            product = A[a * A_a + b * A_b + c] * B[a * B_a + c]
                            run = run + product
                        part[b - low] = part[b - low] + run
                terms += n_c
                if terms >= 256:
                    for b in range(high - low):
                        total[b] = total[b] + part[b]
                        part[b] = float32(0)
                    terms = 0
            for b in range(low, high):
                C[tile * C_tile + b * C_b] = total[b - low] + part[b - low]
