"""ac,ae,af,bc,bf,cd,de->

A[a, c]: float64
B[a, e]: float64
C[a, f]: float64
D[b, c]: float64
E[b, f]: float64
F[c, d]: float64
G[d, e]: float64
H[]: float64, summed in float64
a: contracted
b: contracted
c: contracted
d: contracted
e: contracted
f: contracted, innermost, unit stride in C
"""

from numba.types import float64

from einjit.kernel.intrinsics import restrict

CODEGEN = 1


def contract(first, last, operands, sizes):
    A = restrict(operands[0], float64)
    B = restrict(operands[1], float64)
    C = restrict(operands[2], float64)
    D = restrict(operands[3], float64)
    E = restrict(operands[4], float64)
    F = restrict(operands[5], float64)
    G = restrict(operands[6], float64)
    H = restrict(operands[7], float64)
    # extents n_a; strides A_a in elements, where they are not 1
    n_a = sizes[0]
    n_b = sizes[1]
    n_c = sizes[2]
    n_d = sizes[3]
    n_e = sizes[4]
    n_f = sizes[5]
    A_a = sizes[6]
    A_c = sizes[7]
    B_a = sizes[8]
    B_e = sizes[9]
    C_a = sizes[10]
    D_b = sizes[11]
    D_c = sizes[12]
    E_b = sizes[13]
    E_f = sizes[14]
    F_c = sizes[15]
    F_d = sizes[16]
    G_d = sizes[17]
    G_e = sizes[18]
    for _ in range(first, last):  # one tile
        total = float64(0)
        for a in range(n_a):  # contracted
            for b in range(n_b):  # contracted
                for c in range(n_c):  # contracted
                    hoisted_1 = A[a * A_a + c * A_c] * D[b * D_b + c * D_c]
                    for d in range(n_d):  # contracted
                        hoisted_2 = hoisted_1 * F[c * F_c + d * F_d]
                        for e in range(n_e):  # contracted
                            product = hoisted_2 * B[a * B_a + e * B_e]
                            hoisted_3 = product * G[d * G_d + e * G_e]
                            for f in range(n_f):  # contracted, innermost
                                product = hoisted_3 * C[a * C_a + f]
                                total = total + product * E[b * E_b + f * E_f]
        H[0] = total
