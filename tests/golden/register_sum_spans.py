"""a,a->

A[a]: float64
B[a]: float64
C[]: float64, summed in float64
a: contracted, its spans run in parallel, innermost, unit stride in A, B
"""

from numba.types import float64

from einjit.kernel.intrinsics import minimum, restrict

CODEGEN = 1


def contract(first, last, operands, sizes):
    A = restrict(operands[0], float64)
    B = restrict(operands[1], float64)
    C = restrict(operands[2], float64)
    # extents n_a; strides A_a in elements, where they are not 1
    n_a = sizes[0]
    span = sizes[1]
    C_tile = sizes[2]
    for tile in range(first, last):  # parallel: spans of a
        start = tile * span
        stop = minimum(n_a, start + span)
        total = float64(0)
        part = float64(0)
        terms = 0
        for block in range(start, stop, 256):  # of terms
            end = minimum(stop, block + 256)
            run = float64(0)
            for a in range(block, end):  # contracted, innermost
                run = run + A[a] * B[a]
            part = part + run
            terms += end - block
            if terms >= 256:
                total = total + part
                part = float64(0)
                terms = 0
        C[tile * C_tile] = total + part
