"""abcdefgh,bcdefghi->ai

A[a, b, c, d, e, f, g, h]: float16
B[b, c, d, e, f, g, h, i]: float16
C[a, i]: float16, summed in float32
a: free, runs in parallel
b: contracted
c: contracted
d: contracted
e: contracted
f: contracted
g: contracted
h: contracted
i: free, innermost, unit stride in B, C
"""

from numba.types import float32, uint16

from einjit.kernel.intrinsics import minimum, narrow, restrict, scratch, widen

CODEGEN = 1


def contract(first, last, operands, sizes):
    A = restrict(operands[0], uint16)
    B = restrict(operands[1], uint16)
    C = restrict(operands[2], uint16)
    # extents n_a; strides A_a in elements, where they are not 1
    n_b = sizes[0]
    n_c = sizes[1]
    n_d = sizes[2]
    n_e = sizes[3]
    n_f = sizes[4]
    n_g = sizes[5]
    n_h = sizes[6]
    n_i = sizes[7]
    A_a = sizes[8]
    A_b = sizes[9]
    A_c = sizes[10]
    A_d = sizes[11]
    A_e = sizes[12]
    A_f = sizes[13]
    A_g = sizes[14]
    A_h = sizes[15]
    B_b = sizes[16]
    B_c = sizes[17]
    B_d = sizes[18]
    B_e = sizes[19]
    B_f = sizes[20]
    B_g = sizes[21]
    B_h = sizes[22]
    C_a = sizes[23]
    total = scratch(8192, float32)  # sums of a strip, in the cache
    for a in range(first, last):  # free, parallel: a tile each
        for low in range(0, n_i, 8192):  # strips of i
            high = minimum(n_i, low + 8192)
            for i in range(high - low):
                total[i] = float32(0)
            for joint in range(n_b * n_c):  # contracted, jointly
                c = joint % n_c
                rest = joint // n_c
                b = rest
                for d in range(n_d):  # contracted
                    for e in range(n_e):  # contracted
                        for f in range(n_f):  # contracted
                            for g in range(n_g):  # contracted
                                for h in range(n_h):  # contracted
                                    at_A = a * A_a + b * A_b + c * A_c + d * A_d
                                    at_A = at_A + e * A_e + f * A_f + g * A_g
                                    hoisted_1 = widen(A[at_A + h * A_h])
                                    for i in range(low, high):  # free, innermost
                                        run = total[i - low]
                                        at_B = b * B_b + c * B_c + d * B_d + e * B_e
                                        at_B = at_B + f * B_f + g * B_g + h * B_h
                                        run = run + hoisted_1 * widen(B[at_B + i])
                                        total[i - low] = run
            for i in range(low, high):
                C[a * C_a + i] = narrow(total[i - low])
