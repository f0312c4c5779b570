"""abd,dc->abc

A: float64, packed in strips, once for all boxes of N
B: float64, packed in micropanels
C: float64, written from registers
a: free, of A (M)
b: free, of A (M)
c: free, of B (N)
d: contracted (K)
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
    n_d = sizes[7]
    box_a = sizes[8]
    box_b = sizes[9]
    box_c = sizes[10]
    box_d = sizes[11]
    to_b = sizes[13]
    A_a = sizes[16]
    A_b = sizes[17]
    A_d = sizes[18]
    B_d = sizes[19]
    B_c = sizes[20]
    C_a = sizes[21]
    C_b = sizes[22]
    C_c = sizes[23]
    boxes_b = parts(n_b, box_b)
    boxes_c = parts(n_c, box_c)
    boxes_d = parts(n_d, box_d)
    n_boxes = boxes_c  # boxes of N
    a_box = arena
    b_box = a_box + to_b
    for tile in range(first, last):  # parallel
        b0 = tile % boxes_b * box_b
        rest = tile // boxes_b
        a0 = rest * box_a
        e_b = minimum(box_b, n_b - b0)
        flat_b = 1
        a_k = parts(e_b, parts(e_b, 6))  # rows of a strip
        e_a = minimum(box_a, n_a - a0)
        flat_a = parts(e_b, a_k) * a_k
        blocks = boxes_d  # of K
        for block in range(blocks):  # PC: blocks of K
            d0 = block * box_d
            e_d = minimum(box_d, n_d - d0)
            flat_d = 1
            depth = flat_d * e_d
            a_i = depth + 2  # room behind strips
            at_a = place(A, 8, (a0, A_a, b0, A_b, d0, A_d))
            for a in range(e_a):
                call9(
                    move_strips,
                    (
                        e_d,
                        e_b,
                        place(a_box, 8, (a, flat_a * a_i)),
                        flat_d * a_k,
                        flat_b,
                        a_i,
                        place(at_a, 8, (a, A_a)),
                        A_d,
                        A_b,
                    ),
                )
            for n_box in range(n_boxes):  # JC: boxes of N
                c0 = n_box * box_c
                e_c = minimum(box_c, n_c - c0)
                flat_c = 1
                b_k = 8  # micropanels
                at_b = place(B, 8, (d0, B_d, c0, B_c))
                call9(move, (e_d, e_c, b_box, flat_d * b_k, flat_c, depth, at_b, B_d, B_c))
                at_c = place(C, 8, (a0, C_a, b0, C_b, c0, C_c))
                for a in range(e_a):
                    call13(
                        macrokernel,
                        (
                            e_b,
                            e_c,
                            depth,
                            place(a_box, 8, (a, flat_a * a_i)),
                            a_i,
                            1,
                            a_k,
                            b_box,
                            depth,
                            b_k,
                            place(at_c, 8, (a, C_a)),
                            C_b,
                            block,
                        ),
                    )
    give(arena)
