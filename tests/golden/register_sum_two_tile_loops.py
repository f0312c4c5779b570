"""ac,bc->ab

A[a, c]: float16
B[b, c]: float16
C[a, b]: float16, summed in float32
a: free, runs in parallel
b: free, runs in parallel
c: contracted, innermost, unit stride in A, B
"""

from numba.types import float32, uint16

from einjit.kernel.intrinsics import minimum, narrow, restrict, widen

CODEGEN = 1


def contract(first, last, operands, sizes):
    A = restrict(operands[0], uint16)
    B = restrict(operands[1], uint16)
    C = restrict(operands[2], uint16)
    # extents n_a; strides A_a in elements, where they are not 1
    n_b = sizes[0]
    n_c = sizes[1]
    A_a = sizes[2]
    B_b = sizes[3]
    C_a = sizes[4]
    C_b = sizes[5]
    b = first % n_b
    rest = first // n_b
    a = rest
    for _ in range(first, last):  # free, parallel: a, b
        total = float32(0)
        part = float32(0)
        terms = 0
        for block in range(0, n_c, 256):  # of terms
            end = minimum(n_c, block + 256)
            run = float32(0)
            for c in range(block, end):  # contracted, innermost
                product = widen(A[a * A_a + c])
                run = run + product * widen(B[b * B_b + c])
            part = part + run
            terms += end - block
            if terms >= 256:
                total = total + part
                part = float32(0)
                terms = 0
        C[a * C_a + b * C_b] = narrow(total + part)
        b += 1
        if b >= n_b:
            b = 0
            a += 1
