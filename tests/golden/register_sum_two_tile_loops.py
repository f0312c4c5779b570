"""ac,bc->ab

A[a, c]: complex64
B[b, c]: complex64
C[a, b]: complex64, summed in complex64
a: free, runs in parallel
b: free, runs in parallel
c: contracted, innermost, unit stride in A, B
"""

from numba.types import complex64

from einjit.kernel.intrinsics import minimum, restrict, times

CODEGEN = 1


def contract(first, last, operands, sizes):
    A = restrict(operands[0], complex64)
    B = restrict(operands[1], complex64)
    C = restrict(operands[2], complex64)
    # extents n_a; strides A_a in elements, where they are not 1
    n_b = sizes[0]
    n_c = sizes[1]
    A_a = sizes[2]
    B_b = sizes[3]
    C_a = sizes[4]
    C_b = sizes[5]
    b = first % n_b
    a = first // n_b
    for _ in range(first, last):  # free, parallel: a, b
        total = complex64(0)
        part = complex64(0)
        terms = 0
        for block in range(0, n_c, 256):  # of terms
            end = minimum(n_c, block + 256)
            run = complex64(0)
            for c in range(block, end):  # contracted, innermost
                run = run + times(A[a * A_a + c], B[b * B_b + c])
            part = part + run
            terms += end - block
            if terms >= 256:
                total = total + part
                part = complex64(0)
                terms = 0
        C[a * C_a + b * C_b] = total + part
        b += 1
        if b >= n_b:
            b = 0
            a += 1
