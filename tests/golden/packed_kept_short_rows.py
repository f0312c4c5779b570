"""acd,cdb->ab

A: float64, packed in rows along K, once for all boxes of N
B: float64, packed in micropanels
C: float64, written from registers
a: free, of A (M)
b: free, of B (N)
c: contracted (K)
d: contracted (K)
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
    move_far = sizes[2]
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
    A_c = sizes[17]
    A_d = sizes[18]
    B_c = sizes[19]
    B_d = sizes[20]
    B_b = sizes[21]
    C_a = sizes[22]
    C_b = sizes[23]
    boxes_b = parts(n_b, box_b)
    boxes_c = parts(n_c, box_c)
    boxes_d = parts(n_d, box_d)
    n_boxes = boxes_b  # boxes of N
    a_box = arena
    b_box = a_box + to_b
    for tile in range(first, last):  # parallel
        a0 = tile * box_a
        e_a = minimum(box_a, n_a - a0)
        flat_a = 1
        blocks = boxes_c * boxes_d  # of K
        for block in range(blocks):  # PC: blocks of K
            d0 = block % boxes_d * box_d
            rest = block // boxes_d
            c0 = rest * box_c
            e_d = minimum(box_d, n_d - d0)
            flat_d = 1
            e_c = minimum(box_c, n_c - c0)
            flat_c = flat_d * e_d
            depth = flat_c * e_c
            a_m = row_of(depth, 8)
            at_a = place(A, 8, (a0, A_a, c0, A_c, d0, A_d))
            for c in range(e_c):
                call9(
                    move,
                    (
                        e_a,
                        e_d,
                        place(a_box, 8, (c, flat_c)),
                        flat_a * a_m,
                        flat_d,
                        1,
                        place(at_a, 8, (c, A_c)),
                        A_a,
                        A_d,
                    ),
                )
            for n_box in range(n_boxes):  # JC: boxes of N
                b0 = n_box * box_b
                e_b = minimum(box_b, n_b - b0)
                flat_b = 1
                b_k = 8  # micropanels
                at_b = place(B, 8, (c0, B_c, d0, B_d, b0, B_b))
                for d in range(e_d):
                    call9(
                        move_far,
                        (
                            e_c,
                            e_b,
                            place(b_box, 8, (d, flat_d * b_k)),
                            flat_c * b_k,
                            flat_b,
                            depth,
                            place(at_b, 8, (d, B_d)),
                            B_c,
                            B_b,
                        ),
                    )
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
