"""abcdjklm,jklmefghi->abcdefghi

A: float64, packed in rows along K, by a table of places
B: float64, packed in rows along N, by a table of places
C: float64, by way of a box in the cache, by a table of places
a: free, of A (M)
b: free, of A (M)
c: free, of A (M)
d: free, of A (M)
e: free, of B (N)
f: free, of B (N)
g: free, of B (N)
h: free, of B (N)
i: free, of B (N)
j: contracted (K)
k: contracted (K)
l: contracted (K)
m: contracted (K)
"""

from einjit.kernel.intrinsics import minimum
from einjit.kernel.memory import call4, call13, give, parts, place, room, row_of, set_loop, take

CODEGEN = 1


def contract(first, last, operands, sizes):
    A = operands[0]
    B = operands[1]
    C = operands[2]
    macrokernel = sizes[0]
    scatter = sizes[2]
    arena = take(sizes[3])
    # extents n_a and those of boxes, strides A_a in elements
    n_a = sizes[4]
    n_b = sizes[5]
    n_c = sizes[6]
    n_d = sizes[7]
    n_e = sizes[8]
    n_f = sizes[9]
    n_g = sizes[10]
    n_h = sizes[11]
    n_i = sizes[12]
    n_j = sizes[13]
    n_k = sizes[14]
    n_l = sizes[15]
    n_m = sizes[16]
    box_a = sizes[17]
    box_b = sizes[18]
    box_c = sizes[19]
    box_d = sizes[20]
    box_e = sizes[21]
    box_f = sizes[22]
    box_g = sizes[23]
    box_h = sizes[24]
    box_i = sizes[25]
    box_j = sizes[26]
    box_k = sizes[27]
    box_l = sizes[28]
    box_m = sizes[29]
    per_tile = sizes[30]
    to_b = sizes[31]
    to_c = sizes[32]
    held = sizes[33]
    A_a = sizes[34]
    A_b = sizes[35]
    A_c = sizes[36]
    A_d = sizes[37]
    A_j = sizes[38]
    A_k = sizes[39]
    A_l = sizes[40]
    A_m = sizes[41]
    B_j = sizes[42]
    B_k = sizes[43]
    B_l = sizes[44]
    B_m = sizes[45]
    B_e = sizes[46]
    B_f = sizes[47]
    B_g = sizes[48]
    B_h = sizes[49]
    B_i = sizes[50]
    C_a = sizes[51]
    C_b = sizes[52]
    C_c = sizes[53]
    C_d = sizes[54]
    C_e = sizes[55]
    C_f = sizes[56]
    C_g = sizes[57]
    C_h = sizes[58]
    C_i = sizes[59]
    loops = room(27)  # of a box, three words each
    boxes_a = parts(n_a, box_a)
    boxes_b = parts(n_b, box_b)
    boxes_c = parts(n_c, box_c)
    boxes_d = parts(n_d, box_d)
    boxes_f = parts(n_f, box_f)
    boxes_g = parts(n_g, box_g)
    boxes_h = parts(n_h, box_h)
    boxes_i = parts(n_i, box_i)
    boxes_j = parts(n_j, box_j)
    boxes_k = parts(n_k, box_k)
    boxes_l = parts(n_l, box_l)
    boxes_m = parts(n_m, box_m)
    m_boxes = boxes_a * boxes_b * boxes_c * boxes_d  # boxes of M
    tiles_m = parts(m_boxes, per_tile)
    a_box = arena
    b_box = a_box + to_b
    c_first = a_box + to_c
    most = box_a * box_b * box_c * box_d  # rows of a box
    for tile in range(first, last):  # parallel
        m_first = tile % tiles_m * per_tile
        m_last = minimum(m_boxes, m_first + per_tile)
        rest = tile // tiles_m
        i0 = rest % boxes_i * box_i
        rest = rest // boxes_i
        h0 = rest % boxes_h * box_h
        rest = rest // boxes_h
        g0 = rest % boxes_g * box_g
        rest = rest // boxes_g
        f0 = rest % boxes_f * box_f
        rest = rest // boxes_f
        e0 = rest * box_e
        e_i = minimum(box_i, n_i - i0)
        flat_i = 1
        e_h = minimum(box_h, n_h - h0)
        flat_h = flat_i * e_i
        e_g = minimum(box_g, n_g - g0)
        flat_g = flat_h * e_h
        e_f = minimum(box_f, n_f - f0)
        flat_f = flat_g * e_g
        e_e = minimum(box_e, n_e - e0)
        flat_e = flat_f * e_f
        width = flat_e * e_e
        b_k = row_of(width, 8)
        c_m = row_of(width, 8)
        blocks = boxes_j * boxes_k * boxes_l * boxes_m  # of K
        for block in range(blocks):  # PC: blocks of K
            m0 = block % boxes_m * box_m
            rest = block // boxes_m
            l0 = rest % boxes_l * box_l
            rest = rest // boxes_l
            k0 = rest % boxes_k * box_k
            rest = rest // boxes_k
            j0 = rest * box_j
            e_m = minimum(box_m, n_m - m0)
            flat_m = 1
            e_l = minimum(box_l, n_l - l0)
            flat_l = flat_m * e_m
            e_k = minimum(box_k, n_k - k0)
            flat_k = flat_l * e_l
            e_j = minimum(box_j, n_j - j0)
            flat_j = flat_k * e_k
            depth = flat_j * e_j
            at_b = place(B, 8, (j0, B_j, k0, B_k, l0, B_l, m0, B_m, e0, B_e, f0, B_f, g0, B_g))
            at_b = place(at_b, 8, (h0, B_h, i0, B_i))
            set_loop(loops, 0, (e_g, flat_g, B_g))
            set_loop(loops, 1, (e_k, flat_k * b_k, B_k))
            set_loop(loops, 2, (e_i, flat_i, B_i))
            set_loop(loops, 3, (e_m, flat_m * b_k, B_m))
            set_loop(loops, 4, (e_h, flat_h, B_h))
            set_loop(loops, 5, (e_l, flat_l * b_k, B_l))
            set_loop(loops, 6, (e_f, flat_f, B_f))
            set_loop(loops, 7, (e_j, flat_j * b_k, B_j))
            set_loop(loops, 8, (e_e, flat_e, B_e))
            call4(scatter, (loops, 9, b_box, at_b))
            for m_box in range(m_first, m_last):  # IC: boxes of M
                d0 = m_box % boxes_d * box_d
                rest = m_box // boxes_d
                c0 = rest % boxes_c * box_c
                rest = rest // boxes_c
                b0 = rest % boxes_b * box_b
                rest = rest // boxes_b
                a0 = rest * box_a
                e_d = minimum(box_d, n_d - d0)
                flat_d = 1
                e_c = minimum(box_c, n_c - c0)
                flat_c = flat_d * e_d
                e_b = minimum(box_b, n_b - b0)
                flat_b = flat_c * e_c
                e_a = minimum(box_a, n_a - a0)
                flat_a = flat_b * e_b
                height = flat_a * e_a
                a_m = row_of(depth, 8)
                at_a = place(A, 8, (a0, A_a, b0, A_b, c0, A_c, d0, A_d, j0, A_j, k0, A_k))
                at_a = place(at_a, 8, (l0, A_l, m0, A_m))
                set_loop(loops, 0, (e_k, flat_k, A_k))
                set_loop(loops, 1, (e_c, flat_c * a_m, A_c))
                set_loop(loops, 2, (e_m, flat_m, A_m))
                set_loop(loops, 3, (e_b, flat_b * a_m, A_b))
                set_loop(loops, 4, (e_l, flat_l, A_l))
                set_loop(loops, 5, (e_a, flat_a * a_m, A_a))
                set_loop(loops, 6, (e_j, flat_j, A_j))
                set_loop(loops, 7, (e_d, flat_d * a_m, A_d))
                call4(scatter, (loops, 8, a_box, at_a))
                c_box = place(c_first, 8, ((m_box - m_first) * held, most * c_m))
                call13(
                    macrokernel,
                    (
                        height,
                        width,
                        depth,
                        a_box,
                        a_m,
                        a_m,
                        1,
                        b_box,
                        1,
                        b_k,
                        c_box,
                        c_m,
                        block,
                    ),
                )
                if block + 1 == blocks:
                    at_c = place(C, 8, (a0, C_a, b0, C_b, c0, C_c, d0, C_d, e0, C_e, f0, C_f))
                    at_c = place(at_c, 8, (g0, C_g, h0, C_h, i0, C_i))
                    set_loop(loops, 0, (e_g, C_g, flat_g))
                    set_loop(loops, 1, (e_c, C_c, flat_c * c_m))
                    set_loop(loops, 2, (e_i, C_i, flat_i))
                    set_loop(loops, 3, (e_h, C_h, flat_h))
                    set_loop(loops, 4, (e_b, C_b, flat_b * c_m))
                    set_loop(loops, 5, (e_f, C_f, flat_f))
                    set_loop(loops, 6, (e_a, C_a, flat_a * c_m))
                    set_loop(loops, 7, (e_e, C_e, flat_e))
                    set_loop(loops, 8, (e_d, C_d, flat_d * c_m))
                    call4(scatter, (loops, 9, at_c, c_box))
    give(arena)
