"""abc->b

A[a, b, c]: float64
B[b]: float64, summed in float64
a: contracted
b: free
c: contracted, innermost, unit stride in A
"""

from numba.types import float64

from einjit.kernel.intrinsics import minimum, restrict, scratch

CODEGEN = 1


def contract(first, last, operands, sizes):
    A = restrict(operands[0], float64)
    B = restrict(operands[1], float64)
    # extents n_a; strides A_a in elements, where they are not 1
    n_a = sizes[0]
    n_b = sizes[1]
    n_c = sizes[2]
    A_a = sizes[3]
    A_b = sizes[4]
    B_b = sizes[5]
    total = scratch(4096, float64)  # sums of a strip, in the cache
    part = scratch(4096, float64)  # and of one block of terms
    for _ in range(first, last):  # one tile
        for low in range(0, n_b, 4096):  # strips of b
            high = minimum(n_b, low + 4096)
            for b in range(high - low):
                total[b] = float64(0)
                part[b] = float64(0)
            terms = 0
            for a in range(n_a):  # contracted
                for b in range(low, high):  # free
                    for block in range(0, n_c, 256):  # of terms
                        end = minimum(n_c, block + 256)
                        run = float64(0)
                        for c in range(block, end):  # contracted, innermost
                            run = run + A[a * A_a + b * A_b + c]
                        part[b - low] = part[b - low] + run
                terms += n_c
                if terms >= 256:
                    for b in range(high - low):
                        total[b] = total[b] + part[b]
                        part[b] = float64(0)
                    terms = 0
            for b in range(low, high):
                B[b * B_b] = total[b - low] + part[b - low]
