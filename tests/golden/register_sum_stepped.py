"""ab,ab->a

A[a, b]: float64
B[a, b]: float64
C[a]: float64, summed in float64
a: free, runs in parallel
b: contracted, innermost
"""

from numba.types import float64

from einjit.kernel.intrinsics import minimum, pointer

CODEGEN = 1


def contract(first, last, operands, sizes):
    A = pointer(operands[0], float64)
    B = pointer(operands[1], float64)
    C = pointer(operands[2], float64)
    # extents n_a; strides A_a in elements, where they are not 1
    n_b = sizes[0]
    A_a = sizes[1]
    A_b = sizes[2]
    B_a = sizes[3]
    B_b = sizes[4]
    C_a = sizes[5]
    for a in range(first, last):  # free, parallel: a tile each
        total = float64(0)
        part = float64(0)
        terms = 0
        for block in range(0, n_b, 256):  # of terms
            end = minimum(n_b, block + 256)
            run = float64(0)
            for b in range(block, end):  # contracted, innermost
                product = A[a * A_a + b * A_b] * B[a * B_a + b * B_b]
                run = run + product
            part = part + run
            terms += end - block
            if terms >= 256:
                total = total + part
                part = float64(0)
                terms = 0
        C[a * C_a] = total + part
