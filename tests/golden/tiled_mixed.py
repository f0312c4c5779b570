"""a,abc,abc->abc

A[a]: float64
B[a, b, c]: float64
C[a, b, c]: float64
D[a, b, c]: float64
a: free, runs in parallel
b: free, runs in parallel
c: free, innermost, unit stride in C
"""

from numba.types import float64

from einjit.kernel.intrinsics import minimum, restrict

CODEGEN = 1


def contract(first, last, operands, sizes):
    A = restrict(operands[0], float64)
    B = restrict(operands[1], float64)
    C = restrict(operands[2], float64)
    D = restrict(operands[3], float64)
    # extents n_a; strides A_a in elements, where they are not 1
    n_b = sizes[0]
    A_a = sizes[1]
    B_a = sizes[2]
    B_c = sizes[3]
    C_a = sizes[4]
    C_b = sizes[5]
    D_a = sizes[6]
    D_c = sizes[7]
    n_c = 3
    B_b = 1
    D_b = 1
    b = first % n_b
    rest = first // n_b
    a = rest
    while first < last:  # free, parallel: runs of a, b
        low = b
        high = minimum(n_b, low + last - first)
        first += high - low
        hoisted_1 = A[a * A_a]
        for b in range(low, high):  # free
            for c in range(n_c):  # free, innermost
                product = hoisted_1 * B[a * B_a + b * B_b + c * B_c]
                D[a * D_a + b * D_b + c * D_c] = product * C[a * C_a + b * C_b + c] + float64(0)
        b += 1
        if b >= n_b:
            b = 0
            a += 1
