"""abcdefgh,abcdefgh->

A[a, b, c, d, e, f, g, h]: float64
B[a, b, c, d, e, f, g, h]: float64
C[]: float64, summed in float64
a: contracted
b: contracted
c: contracted
d: contracted
e: contracted
f: contracted
g: contracted
h: contracted, innermost, unit stride in B
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
    n_d = sizes[3]
    n_e = sizes[4]
    n_f = sizes[5]
    n_g = sizes[6]
    n_h = sizes[7]
    A_a = sizes[8]
    A_b = sizes[9]
    A_c = sizes[10]
    A_d = sizes[11]
    A_e = sizes[12]
    A_f = sizes[13]
    A_g = sizes[14]
    A_h = sizes[15]
    B_a = sizes[16]
    B_b = sizes[17]
    B_c = sizes[18]
    B_d = sizes[19]
    B_e = sizes[20]
    B_f = sizes[21]
    B_g = sizes[22]
    for _ in range(first, last):  # one tile
        total = float64(0)
        part = float64(0)
        terms = 0
        for joint in range(n_a * n_b * n_c):  # contracted, jointly
            c = joint % n_c
            rest = joint // n_c
            b = rest % n_b
            rest = rest // n_b
            a = rest
            for d in range(n_d):  # contracted
                for e in range(n_e):  # contracted
                    for f in range(n_f):  # contracted
                        for g in range(n_g):  # contracted
                            for block in range(0, n_h, 256):  # of terms
                                end = minimum(n_h, block + 256)
                                run = float64(0)
                                for h in range(block, end):  # contracted, innermost
                                    at_A = a * A_a + b * A_b + c * A_c + d * A_d
                                    at_A = at_A + e * A_e + f * A_f + g * A_g
                                    at_B = a * B_a + b * B_b + c * B_c + d * B_d
                                    at_B = at_B + e * B_e + f * B_f + g * B_g
                                    run = run + A[at_A + h * A_h] * B[at_B + h]
                                part = part + run
                                terms += end - block
                                if terms >= 256:
                                    total = total + part
                                    part = float64(0)
                                    terms = 0
        C[0] = total + part
