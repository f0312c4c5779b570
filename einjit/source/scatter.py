"""Write the kernel that copies boxes of many short loops, element by element."""

from einjit.plan.packed import LINE, Scatter
from einjit.source.writer import Writer

TABLE = 256
"""Places in a table: those of the innermost loops, as many as there is room for."""

TOGETHER = 4
"""Iterations of the other loops that share what is read of the table. Measured: 0.7 of the time."""

MOST_LOOPS = 64
"""Loops of a box at most."""


def write_scatter(scatter: Scatter, w: Writer) -> None:
    """The function that copies a box: the innermost loops by a table of their places, which is made
    once, and the other ones as a counter counts."""
    with w.block(f"def contract({', '.join(scatter.arguments)}):"):
        w.line("loop = pointer(loops, int64)")
        w.line(f"X = restrict(to, {scatter.compute})")
        w.line(f"Y = restrict(source, {scatter.compute})")
        _table(w)
        w.line(f"done = scratch({MOST_LOOPS}, int64)", "iterations of the other loops")
        w.line("times = 1")
        with w.block("for other in range(first, count):"):
            w.line("done[other] = 0")
            w.line("times *= loop[3 * other]")
        w.line(f"x = scratch({TOGETHER}, int64)", "where they begin")
        w.line(f"y = scratch({TOGETHER}, int64)")
        w.line("at, from_ = 0, 0")
        with w.block("while times > 0:"):
            w.line(f"together = minimum({TOGETHER}, times)")
            with w.block("for i in range(together):"):
                w.line("x[i], y[i] = at, from_")
                _count_on(w)
            w.line("times -= together")
            with w.block(f"if together == {TOGETHER}:"):
                for i in range(TOGETHER):
                    w.line(f"x{i}, y{i} = x[{i}], y[{i}]")
                w.line("ahead = from_ - y0")
                line = LINE // scatter.size
                w.line(f"whole = places - places % {line}")
                with w.block(f"for start in range(0, whole, {line}):"):
                    for i in range(TOGETHER):
                        w.line(f"prefetch(Y, y{i} + ahead + in_y[start])")
                    with w.block(f"for place in range(start, start + {line}):"):
                        _copies(w)
                with w.block("for place in range(whole, places):"):
                    _copies(w)
            one, each = "for i in range(together):", "for place in range(places):"
            with w.block("else:"), w.block(one), w.block(each):
                w.line("X[x[i] + in_x[place]] = Y[y[i] + in_y[place]]")


def _copies(w: Writer) -> None:
    """The copies of one place."""
    w.line("to_x, to_y = in_x[place], in_y[place]")
    for i in range(TOGETHER):
        w.line(f"X[x{i} + to_x] = Y[y{i} + to_y]")


def _table(w: Writer) -> None:
    """The places of the innermost loops' elements in both layouts; `first` is the loop behind."""
    w.line(f"in_x = scratch({TABLE}, int64)", "the table")
    w.line(f"in_y = scratch({TABLE}, int64)")
    w.line("in_x[0], in_y[0] = 0, 0")
    w.line("places = 1")
    w.line("first = 0")
    with w.block(f"while first < count and places < {TABLE}:"):
        w.line("extent = loop[3 * first]")
        w.line(f"part = minimum(extent, {TABLE} // places)")
        with w.block("while extent % part > 0:", "the loop is cut in two"):
            w.line("part -= 1")
        with w.block("for i in range(1, part):"), w.block("for place in range(places):"):
            w.line("in_x[i * places + place] = in_x[place] + i * loop[3 * first + 1]")
            w.line("in_y[i * places + place] = in_y[place] + i * loop[3 * first + 2]")
        w.line("places *= part")
        with w.block("if part < extent:"):
            w.line("loop[3 * first] = extent // part")
            w.line("loop[3 * first + 1] *= part")
            w.line("loop[3 * first + 2] *= part")
            w.line("break")
        w.line("first += 1")


def _count_on(w: Writer) -> None:
    """The next iteration of the other loops."""
    w.line("other = first")
    with w.block("while other < count:"):
        w.line("extent = loop[3 * other]")
        w.line("at += loop[3 * other + 1]")
        w.line("from_ += loop[3 * other + 2]")
        w.line("done[other] += 1")
        with w.block("if done[other] < extent:"):
            w.line("break")
        w.line("at -= extent * loop[3 * other + 1]")
        w.line("from_ -= extent * loop[3 * other + 2]")
        w.line("done[other] = 0")
        w.line("other += 1")
