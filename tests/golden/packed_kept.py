"""ac,cb->ab

A: float64, packed in rows along K, once for all boxes of N
B: float64, packed in micropanels
C: float64, written from registers
a: free, of A (M)
b: free, of B (N)
c: contracted (K)
"""

from einjit.kernel.intrinsics import minimum
from einjit.kernel.memory import call9, call13, give, parts, place, row_of, take

CODEGEN = 1


def contract(first, last, operands, sizes):
    A = operands[0]
    B = operands[1]
    C = operands[2]
    macrokernel = sizes[0]
    move = sizes[1]
    arena = take(sizes[2])
    # extents n_a and those of boxes, strides A_a in elements
    n_a = sizes[3]
    n_b = sizes[4]
    n_c = sizes[5]
    box_a = sizes[6]
    box_b = sizes[7]
    box_c = sizes[8]
    to_b = sizes[10]
    A_a = sizes[13]
    A_c = sizes[14]
    B_c = sizes[15]
    B_b = sizes[16]
    C_a = sizes[17]
    C_b = sizes[18]
    boxes_b = parts(n_b, box_b)
    boxes_c = parts(n_c, box_c)
    n_boxes = boxes_b  # boxes of N
    a_box = arena
    b_box = a_box + to_b
    for tile in range(first, last):  # parallel
        a0 = tile * box_a
        e_a = minimum(box_a, n_a - a0)
        flat_a = 1
        blocks = boxes_c  # of K
        for block in range(blocks):  # PC: blocks of K
            c0 = block * box_c
            e_c = minimum(box_c, n_c - c0)
            flat_c = 1
            depth = flat_c * e_c
            a_m = row_of(depth, 8)
            at_a = place(A, 8, (a0, A_a, c0, A_c))
            call9(move, (e_a, e_c, a_box, flat_a * a_m, flat_c, 1, at_a, A_a, A_c))
            for n_box in range(n_boxes):  # JC: boxes of N
                b0 = n_box * box_b
                e_b = minimum(box_b, n_b - b0)
                flat_b = 1
                b_k = 8  # micropanels
                at_b = place(B, 8, (c0, B_c, b0, B_b))
                call9(move, (e_c, e_b, b_box, flat_c * b_k, flat_b, depth, at_b, B_c, B_b))
                at_c = place(C, 8, (a0, C_a, b0, C_b))
                call13(
                    macrokernel,
                    (
                        e_a,
                        e_b,
                        depth,
                        a_box,
                        a_m,
                        a_m,
                        1,
                        b_box,
                        depth,
                        b_k,
                        at_c,
                        C_a,
                        block,
                    ),
                )
    give(arena)
