""",ab,b->a

A[]: float64
B[a, b]: float64
C[b]: float64
D[a]: float64, summed in float64
a: free, runs in parallel
b: contracted, innermost, unit stride in B, C
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
    n_a = sizes[0]
    n_b = sizes[1]
    B_a = sizes[2]
    D_a = sizes[3]
    hoisted_1 = A[0]
    for tile in range(first, last):  # free, parallel: 4 of a each
        a = tile * 4
        if a + 4 <= n_a:
            total = float64(0)
            total_1 = float64(0)
            total_2 = float64(0)
            total_3 = float64(0)
            part = float64(0)
            part_1 = float64(0)
            part_2 = float64(0)
            part_3 = float64(0)
            terms = 0
            for block in range(0, n_b, 256):  # of terms
                end = minimum(n_b, block + 256)
                run = float64(0)
                run_1 = float64(0)
                run_2 = float64(0)
                run_3 = float64(0)
                for b in range(block, end):  # contracted, innermost
                    run = run + hoisted_1 * B[a * B_a + b] * C[b]
                    run_1 = run_1 + hoisted_1 * B[(a + 1) * B_a + b] * C[b]
                    run_2 = run_2 + hoisted_1 * B[(a + 2) * B_a + b] * C[b]
                    run_3 = run_3 + hoisted_1 * B[(a + 3) * B_a + b] * C[b]
                part = part + run
                part_1 = part_1 + run_1
                part_2 = part_2 + run_2
                part_3 = part_3 + run_3
                terms += end - block
                if terms >= 256:
                    total = total + part
                    total_1 = total_1 + part_1
                    total_2 = total_2 + part_2
                    total_3 = total_3 + part_3
                    part = float64(0)
                    part_1 = float64(0)
                    part_2 = float64(0)
                    part_3 = float64(0)
                    terms = 0
            D[a * D_a] = total + part
            D[(a + 1) * D_a] = total_1 + part_1
            D[(a + 2) * D_a] = total_2 + part_2
            D[(a + 3) * D_a] = total_3 + part_3
        else:
            for a in range(tile * 4, n_a):
                total = float64(0)
                part = float64(0)
                terms = 0
                for block in range(0, n_b, 256):  # of terms
                    end = minimum(n_b, block + 256)
                    run = float64(0)
                    for b in range(block, end):  # contracted, innermost
                        run = run + hoisted_1 * B[a * B_a + b] * C[b]
                    part = part + run
                    terms += end - block
                    if terms >= 256:
                        total = total + part
                        part = float64(0)
                        terms = 0
                D[a * D_a] = total + part
