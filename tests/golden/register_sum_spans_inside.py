"""abc,bc->a

A[a, b, c]: float64
B[b, c]: float64
C[a]: float64, summed in float64
a: free
b: contracted, its spans run in parallel
c: contracted, innermost, unit stride in B
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
    n_b = sizes[1]
    n_c = sizes[2]
    A_a = sizes[3]
    A_b = sizes[4]
    A_c = sizes[5]
    B_b = sizes[6]
    C_a = sizes[7]
    span = sizes[8]
    C_tile = sizes[9]
    for tile in range(first, last):  # parallel: spans of b
        start = tile * span
        stop = minimum(n_b, start + span)
        for a in range(n_a):  # free
            total = float64(0)
            part = float64(0)
            terms = 0
            for b in range(start, stop):  # contracted
                for block in range(0, n_c, 256):  # of terms
                    end = minimum(n_c, block + 256)
                    run = float64(0)
                    for c in range(block, end):  # contracted, innermost
                        product = A[a * A_a + b * A_b + c * A_c]
                        run = run + product * B[b * B_b + c]
                    part = part + run
                    terms += end - block
                    if terms >= 256:
                        total = total + part
                        part = float64(0)
                        terms = 0
            C[tile * C_tile + a * C_a] = total + part
