"""ab,b->a

A[a, b]: int8
B[b]: float32
C[a]: float32, summed in float32
a: free, runs in parallel
b: contracted, innermost, unit stride in A, B
"""

from numba.types import float32, int8

from einjit.kernel.intrinsics import minimum, restrict
from einjit.kernel.vectors import prefetch

CODEGEN = 1


def contract(first, last, operands, sizes):
    A = restrict(operands[0], int8)
    B = restrict(operands[1], float32)
    C = restrict(operands[2], float32)
    # extents n_a; strides A_a in elements, where they are not 1
    n_b = sizes[0]
    A_a = sizes[1]
    C_a = sizes[2]
    for a in range(first, last):  # free, parallel: a tile each
        total = float32(0)
        part = float32(0)
        terms = 0
        for b in range(0, n_b, 64):  # what A has next
            prefetch(A, a * A_a + b + 4096)
        for block in range(0, n_b, 256):  # of terms
            end = minimum(n_b, block + 256)
            run = float32(0)
            for b in range(block, end):  # contracted, innermost
                run = run + float32(A[a * A_a + b]) * B[b]
            part = part + run
            terms += end - block
            if terms >= 256:
                total = total + part
                part = float32(0)
                terms = 0
        C[a * C_a] = total + part
