"""abcdefghi,abcdefghi->abcdefghi

A[a, b, c, d, e, f, g, h, i]: float64
B[a, b, c, d, e, f, g, h, i]: float64
C[a, b, c, d, e, f, g, h, i]: float64
a: free, runs in parallel
b: free, runs in parallel
c: free
d: free
e: free
f: free
g: free
h: free
i: free, innermost, unit stride in A, B, C
"""

from numba.types import float64

from einjit.kernel.intrinsics import restrict

CODEGEN = 1


def contract(first, last, operands, sizes):
    A = restrict(operands[0], float64)
    B = restrict(operands[1], float64)
    C = restrict(operands[2], float64)
    # extents n_a; strides A_a in elements, where they are not 1
    n_b = sizes[0]
    n_c = sizes[1]
    n_d = sizes[2]
    n_e = sizes[3]
    n_f = sizes[4]
    n_g = sizes[5]
    n_h = sizes[6]
    A_a = sizes[7]
    A_b = sizes[8]
    A_c = sizes[9]
    A_d = sizes[10]
    A_e = sizes[11]
    A_f = sizes[12]
    A_g = sizes[13]
    A_h = sizes[14]
    B_a = sizes[15]
    B_b = sizes[16]
    B_c = sizes[17]
    B_d = sizes[18]
    B_e = sizes[19]
    B_f = sizes[20]
    B_g = sizes[21]
    B_h = sizes[22]
    C_a = sizes[23]
    C_b = sizes[24]
    C_c = sizes[25]
    C_d = sizes[26]
    C_e = sizes[27]
    C_f = sizes[28]
    C_g = sizes[29]
    C_h = sizes[30]
    n_i = 2
    b = first % n_b
    rest = first // n_b
    a = rest
    for _ in range(first, last):  # free, parallel: a, b
        for joint in range(n_c * n_d):  # free, jointly
            d = joint % n_d
            rest = joint // n_d
            c = rest
            for e in range(n_e):  # free
                for f in range(n_f):  # free
                    for g in range(n_g):  # free
                        for h in range(n_h):  # free
                            for i in range(n_i):  # free, innermost
                                at_A = a * A_a + b * A_b + c * A_c + d * A_d
                                at_A = at_A + e * A_e + f * A_f + g * A_g
                                at_B = a * B_a + b * B_b + c * B_c + d * B_d
                                at_B = at_B + e * B_e + f * B_f + g * B_g
                                product = A[at_A + h * A_h + i]
                                at_C = a * C_a + b * C_b + c * C_c + d * C_d
                                at_C = at_C + e * C_e + f * C_f + g * C_g
                                C[at_C + h * C_h + i] = product * B[at_B + h * B_h + i] + float64(0)
        b += 1
        if b >= n_b:
            b = 0
            a += 1
