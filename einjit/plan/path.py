"""Which operands are contracted with which, and when one pass over all of them is better.

opt_einsum finds the order for `optimize="auto"`; the other values of `optimize` mean what they mean
in numpy, and numpy itself is asked what that is.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from einjit.equation.equation import Equation

Path = list[tuple[int, ...]]
"""Groups of places in the list of operands that are left; each group's result is appended."""

STEP = 4096
"""Multiplications that cost about as much as one more step: its launch and its intermediate."""

SAVED = 1 << 18
"""Real multiplications and additions that contracting in pairs saves from which it is better than
one pass, whose sums, term by term, take all factors. Measured of bilinear forms: 0.2 to 0.9 of the
time for so many and more, once 1.3 of integers; 1.1 to 2.4 for fewer."""

COMPLEX = 4
"""Real multiplications of a complex one."""

SIDE = 4
"""Extents of a product from which it is worth a step of its own. Measured: two steps take 0.06 to
0.85 of one pass's time where the shortest is 4 to 6."""

MOST_TOGETHER = 32
"""Operands of one step."""


def choose_path(
    equation: Equation, extents: Sequence[int], optimize: Any, dtype: str
) -> tuple[Path, str]:
    """The path and the reason for it."""
    path, reason = _chosen(equation, extents, optimize, dtype)
    parts = _in_parts(path, len(equation.inputs))
    if parts != path:
        reason += f"; {MOST_TOGETHER} operands at a time"
    return parts, reason


def _chosen(
    equation: Equation, extents: Sequence[int], optimize: Any, dtype: str
) -> tuple[Path, str]:
    n = len(equation.inputs)
    together: Path = [tuple(range(n))]
    if optimize is False:
        return together, "optimize=False: one pass over all indices, no intermediate"
    if n <= 2 and isinstance(optimize, str | bool):
        return together, "one or two operands: one contraction"
    if isinstance(optimize, str) and optimize == "auto":
        one_pass = (n - 1) * math.prod(extents)
        if one_pass <= STEP * (n - 1) and n <= MOST_TOGETHER:
            return together, "small: one pass costs less than the intermediates"
        scalars = [place for place, term in enumerate(equation.inputs) if not term]
        if 0 < len(scalars) < n:
            return _scalars_first(equation, extents, scalars, dtype)
        path, cost = _opt_einsum_path(equation, extents)
        if one_pass > cost + STEP * (len(path) - 1) or n > MOST_TOGETHER:
            return path, "opt_einsum's order: fewer FLOPs than one pass"
        if _saves_terms(equation, extents, cost, dtype):
            return path, "opt_einsum's order: sums are taken before all factors meet"
        if _has_product(equation, extents, path):
            return path, "opt_einsum's order: no more FLOPs, and a product of matrices in it"
        return together, "one pass costs no more than contracting in pairs"
    return _numpy_path(equation, extents, optimize), f"optimize={optimize!r}, as in numpy"


def _saves_terms(equation: Equation, extents: Sequence[int], cost: float, dtype: str) -> bool:
    """Whether a path that takes so many multiplications and additions saves SAVED ones."""
    sums = len(equation.output) < len(extents)
    saved = (len(equation.inputs) - 1 + sums) * math.prod(extents) - cost
    return saved * (COMPLEX if np.dtype(dtype).kind == "c" else 1) >= SAVED


def _has_product(equation: Equation, extents: Sequence[int], path: Path) -> bool:
    """Whether a step of the path is a product of matrices that are not tiny: its microkernels are
    many times faster than one pass over all indices."""
    left = [set(term) for term in equation.inputs]
    for group in path:
        chosen = [left[place] for place in group]
        left = [term for place, term in enumerate(left) if place not in group]
        needed = set(equation.output).union(*left)
        if len(chosen) == 2:
            one, two = chosen
            sides = (one - two) & needed, (two - one) & needed, (one & two) - needed
            if all(math.prod(extents[i] for i in side) >= SIDE for side in sides):
                return True
        left.append(set.union(*chosen) & needed)
    return False


def _scalars_first(
    equation: Equation, extents: Sequence[int], scalars: Sequence[int], dtype: str
) -> tuple[Path, str]:
    """Scalars are multiplied into the smallest other operand, then the rest is contracted."""
    others = [place for place in range(len(equation.inputs)) if place not in scalars]
    smallest = min(others, key=lambda k: math.prod(extents[i] for i in equation.inputs[k]))
    rest = [place for place in others if place != smallest]
    if not rest:
        return [tuple(range(len(equation.inputs)))], "scalars and one operand: one pass"
    terms = (*(equation.inputs[place] for place in rest), equation.inputs[smallest])
    left = replace(equation, inputs=terms)
    path, reason = _chosen(left, extents, "auto", dtype)
    first = tuple(sorted((*scalars, smallest)))
    return [first, *path], f"scalars into the smallest operand; then {reason}"


def _opt_einsum_path(equation: Equation, extents: Sequence[int]) -> tuple[Path, float]:
    import opt_einsum

    terms = [*equation.inputs, equation.output]
    texts = ["".join(map(opt_einsum.get_symbol, term)) for term in terms]
    shapes = [tuple(extents[i] for i in term) for term in equation.inputs]
    subscripts = ",".join(texts[:-1]) + "->" + texts[-1]
    path, info = opt_einsum.contract_path(subscripts, *shapes, shapes=True, optimize="auto")
    return [tuple(group) for group in path], float(info.opt_cost)


def _numpy_path(equation: Equation, extents: Sequence[int], optimize: Any) -> Path:
    arguments: list[Any] = []
    for term in equation.inputs:
        zeros = np.broadcast_to(np.float64(0), tuple(extents[i] for i in term))
        arguments += [zeros, list(term)]
    if isinstance(optimize, tuple) and optimize[:1] == ("einsum_path",):
        optimize = list(optimize)
    path, _ = np.einsum_path(*arguments, list(equation.output), optimize=optimize)
    return [tuple(group) for group in path[1:]]


def _in_parts(path: Path, n: int) -> Path:
    """The path with no group of more than MOST_TOGETHER: the first of them meet before the rest."""
    parts: Path = []
    for group in path:
        rest = sorted(group)
        while len(rest) > MOST_TOGETHER:
            first = rest[:MOST_TOGETHER]
            parts.append(tuple(first))
            n -= MOST_TOGETHER - 1
            rest = [place - sum(f < place for f in first) for place in rest[MOST_TOGETHER:]]
            rest.append(n - 1)
        parts.append(tuple(rest))
        n -= len(rest) - 1
    return parts
