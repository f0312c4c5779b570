"""ac,cb->ab

A: float64, packed in strips, once for all boxes of N
B: float64, packed in micropanels
C: float64, written from registers
a: free, of A (M)
b: free, of B (N)
c: contracted (K)
"""

from einjit.kernel.intrinsics import minimum
from einjit.kernel.memory import call9, call13, give, parts, place, take

CODEGEN = 1


def contract(first, last, operands, sizes):
    A = operands[0]
    B = operands[1]
    C = operands[2]
    macrokernel = sizes[0]
    move = sizes[1]
    move_strips = sizes[2]
    arena = take(sizes[3])
    # extents n_a and those of boxes, strides A_a in elements
    n_a = sizes[4]
    n_b = sizes[5]
    n_c = sizes[6]
    box_a = sizes[7]
    box_b = sizes[8]
    box_c = sizes[9]
    to_b = sizes[11]
    A_a = sizes[14]
    A_c = sizes[15]
    B_c = sizes[16]
    B_b = sizes[17]
    C_a = sizes[18]
    C_b = sizes[19]
    boxes_b = parts(n_b, box_b)
    boxes_c = parts(n_c, box_c)
    n_boxes = boxes_b  # boxes of N
    a_box = arena
    b_box = a_box + to_b
    for tile in range(first, last):  # parallel
        a0 = tile * box_a
        e_a = minimum(box_a, n_a - a0)
        flat_a = 1
        a_k = parts(e_a, parts(e_a, 6))  # rows of a strip
        blocks = boxes_c  # of K
        for block in range(blocks):  # PC: blocks of K
            c0 = block * box_c
            e_c = minimum(box_c, n_c - c0)
            flat_c = 1
            depth = flat_c * e_c
            a_i = depth + 2  # room behind strips
            at_a = place(A, 8, (a0, A_a, c0, A_c))
            call9(move_strips, (e_c, e_a, a_box, flat_c * a_k, flat_a, a_i, at_a, A_c, A_a))
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
                        a_i,
                        1,
                        a_k,
                        b_box,
                        depth,
                        b_k,
                        at_c,
                        C_a,
                        block,
                    ),
                )
    give(arena)
