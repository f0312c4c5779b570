"""ab->ab

A[a, b]: uint32, turned round in registers
B[a, b]: uint32, written past the caches
a: free, in tiles
b: free, in tiles
"""

from numba.types import uint32

from einjit.kernel.intrinsics import minimum, restrict
from einjit.kernel.memory import parts
from einjit.kernel.streams import settle, to_line
from einjit.kernel.turning import turn
from einjit.kernel.vectors import prefetch

CODEGEN = 1


def contract(first, last, operands, sizes):
    A = restrict(operands[0], uint32)
    B = restrict(operands[1], uint32)
    # extents n_a, those of tiles box_a; strides A_a in elements, where they are not 1
    n_a = sizes[0]
    n_b = sizes[1]
    A_b = sizes[2]
    B_a = sizes[3]
    box_a = sizes[4]
    box_b = sizes[5]
    ahead = sizes[6]
    begin = to_line(B, 0)  # as far on begin lines in each row
    boxes_a = parts(n_a, box_a)
    a0 = first % boxes_a * box_a
    rest = first // boxes_a
    b0 = rest * box_b
    for _ in range(first, last):  # free, parallel
        e_a = minimum(box_a, n_a - a0)
        e_b = minimum(box_b, n_b - b0)
        at_A = a0 + b0 * A_b
        at_B = a0 * B_a + b0
        if b0 == 0:  # what lies before the first line of each row of B
            for a in range(0, e_a, 8):  # blocks that are transposed
                for b in range(0, minimum(begin, n_b), 8):
                    source = at_A + b * A_b + a
                    for step in range(8):
                        prefetch(A, source + step * A_b + ahead)
                    to = at_B + a * B_a + b
                    rows, columns = minimum(begin, n_b) - b, e_a - a
                    turn(B, to, B_a, A, source, A_b, rows, columns, 0, 8)
        at_A += begin * A_b
        at_B += begin
        e_b = minimum(box_b, n_b - b0 - begin)
        for a in range(0, e_a, 8):  # blocks that are transposed
            for b in range(0, e_b, 8):
                source = at_A + b * A_b + a
                for step in range(8):
                    prefetch(A, source + step * A_b + ahead)
                to = at_B + a * B_a + b
                rows, columns = e_b - b, e_a - a
                turn(B, to, B_a, A, source, A_b, rows, columns, 1, 8)
        a0 += box_a
        if a0 >= n_a:
            a0 = 0
            b0 += box_b
    settle()
