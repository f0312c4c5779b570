"""ac,bc->ab

A[a, c]: float64
B[b, c]: float64
C[a, b]: float64, summed in float64
a: free, runs in parallel
b: free
c: contracted, innermost, unit stride in A, B
"""

from numba.types import float64

from einjit.kernel.intrinsics import minimum, restrict

CODEGEN = 1


def contract(first, last, operands, sizes):
    A = restrict(operands[0], float64)
    B = restrict(operands[1], float64)
    C = restrict(operands[2], float64)
    # extents n_a; strides A_a in elements, where they are not 1
    n_b = sizes[0]
    n_c = sizes[1]
    A_a = sizes[2]
    B_b = sizes[3]
    C_a = sizes[4]
    C_b = sizes[5]
    for a in range(first, last):  # free, parallel: a tile each
        for b in range(n_b):  # free
            total = float64(0)
            part = float64(0)
            terms = 0
            for block in range(0, n_c, 256):  # of terms
                end = minimum(n_c, block + 256)
                run = float64(0)
                for c in range(block, end):  # contracted, innermost
                    run = run + A[a * A_a + c] * B[b * B_b + c]
                part = part + run
                terms += end - block
                if terms >= 256:
                    total = total + part
                    part = float64(0)
                    terms = 0
            C[a * C_a + b * C_b] = total + part
