""",ac,bc,bd->ad

A[]: float64
B[a, c]: float64
C[b, c]: float64
D[b, d]: float64
E[a, d]: float64, summed in float64
a: free, runs in parallel
b: contracted
c: contracted
d: free, innermost, unit stride in D, E
"""

from numba.types import float64

from einjit.kernel.intrinsics import minimum, restrict, scratch

CODEGEN = 1


def contract(first, last, operands, sizes):
    A = restrict(operands[0], float64)
    B = restrict(operands[1], float64)
    C = restrict(operands[2], float64)
    D = restrict(operands[3], float64)
    E = restrict(operands[4], float64)
    # extents n_a; strides A_a in elements, where they are not 1
    n_b = sizes[0]
    n_c = sizes[1]
    n_d = sizes[2]
    B_a = sizes[3]
    B_c = sizes[4]
    C_b = sizes[5]
    C_c = sizes[6]
    D_b = sizes[7]
    E_a = sizes[8]
    total = scratch(4096, float64)  # sums of a strip, in the cache
    hoisted_1 = A[0]
    for a in range(first, last):  # free, parallel: a tile each
        for low in range(0, n_d, 4096):  # strips of d
            high = minimum(n_d, low + 4096)
            for d in range(high - low):
                total[d] = float64(0)
            for b in range(n_b):  # contracted
                for c in range(n_c):  # contracted
                    product = hoisted_1 * B[a * B_a + c * B_c]
                    hoisted_2 = product * C[b * C_b + c * C_c]
                    for d in range(low, high):  # free, innermost
                        run = total[d - low]
                        run = run + hoisted_2 * D[b * D_b + d]
                        total[d - low] = run
            for d in range(low, high):
                E[a * E_a + d] = total[d - low]
