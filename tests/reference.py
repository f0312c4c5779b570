"""What einsum means, one multiplication at a time: the oracle of the tests.

Slow on purpose, and sharing nothing with the package: its own parser, one Python loop over every
index, and exact arithmetic. A finite float is an integer divided by a power of two, so sums of
products are formed in Python integers, and a result is rounded once, to the nearest of its dtype.
"""

import math
import operator
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from functools import reduce
from itertools import product
from typing import Any

import numpy as np

Shape = tuple[int, ...]
Index = str | int  # a letter, or an axis under the ellipsis: -1 is the last one
Pair = tuple[Any, Any]  # the real and the imaginary part


def einsum(subscripts: str, *operands: Any, dtype: Any = None) -> np.ndarray:
    """The exact value of ``np.einsum(subscripts, *operands)``, rounded once.

    Operands are cast to the result's dtype first: `dtype`, or else what `np.result_type` gives,
    in native byte order. Integers wrap in their own width, bool is or/and. A sum starts from
    +0.0, so that no sum is -0.0; where one operand is only rearranged, its values pass unchanged.
    Where an infinity or a NaN comes in, it does what float64 arithmetic and the schoolbook
    complex product make of it.

    Returns an array, 0-d for a full reduction. Raises ValueError where terms, extents or the
    output do not fit, as numpy does; TypeError for a dtype without exact arithmetic here.

    >>> einsum("ij,jk->ik", [[1, 2]], [[3], [4]])
    array([[11]])
    """
    arrays, dtype = _cast(operands, dtype)
    terms, output, extents = _parse(subscripts, [a.shape for a in arrays])
    shape = tuple(extents[index] for index in output)
    walks = [_offsets(output, shape, extents)]
    walks += [_offsets(term, a.shape, extents) for term, a in zip(terms, arrays, strict=True)]
    flats = [a.ravel() for a in arrays]
    steps = list(zip(*walks, strict=True))
    if len(terms) == 1 and set(terms[0]) == set(output):
        result = np.empty(math.prod(shape), dtype)
        for target, source in steps:
            result[target] = flats[0][source]
        return result.reshape(shape)

    def sums(factors: Sequence[list], zero: Any, add: Callable, multiply: Callable) -> list:
        totals = [zero] * math.prod(shape)
        for target, *sources in steps:
            term = reduce(multiply, map(operator.getitem, factors, sources))
            totals[target] = add(totals[target], term)
        return totals

    if dtype.kind == "b":
        values = [flat.tolist() for flat in flats]
        result = np.array(sums(values, False, operator.or_, operator.and_), dtype)
    elif dtype.kind in "iu":
        exact = sums([flat.tolist() for flat in flats], 0, operator.add, operator.mul)
        unsigned = np.dtype(f"u{dtype.itemsize}")
        result = np.array([n % 2 ** (8 * dtype.itemsize) for n in exact], unsigned).view(dtype)
    elif dtype in (np.float16, np.float32, np.float64, np.complex64, np.complex128):
        result = _inexact(sums, flats, dtype)
    else:
        raise TypeError(f"no reference arithmetic for {dtype}")
    return result.reshape(shape)


def einsum_abs(subscripts: str, *operands: Any, dtype: Any = None) -> np.ndarray:
    """Σ|products| for each element of the result, in float64: what an error is relative to.

    >>> einsum_abs("i,i->", [1.0, -1.0], [2, 2])
    array(4.)
    """
    arrays, dtype = _cast(operands, dtype)
    wide = np.complex128 if dtype.kind == "c" else np.float64
    return einsum(subscripts, *(np.abs(a.astype(wide)) for a in arrays))


def gamma(n_terms: int, n_operands: int, dtype: Any) -> float:
    """The bound γ with ``|result - reference| <= γ · Σ|products|``, `n_terms` products a sum.

    For sums in blocks of 256 of products rounded in any order: γ_k = k·u / (1 - k·u), u the unit
    roundoff, k the roundings a product may pass through: min(n, 256) in its block, ceil(n / 256)
    where the blocks are added, one for each multiplication, and one that the reference makes.
    N. J. Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed.: γ_k in §3.1, with the
    inner product in pieces; summation, whatever the order, in §4.2.

    Complex: a multiplication costs √2·γ_2 <= γ_3 (§3.6). The two real products of a part may be
    added one after the other, which doubles the additions, and each part errs by so much: √2.
    float16: sums are in float32; the result and the reference are each rounded to float16 once.
    Integers and bool are exact: 0.

    >>> gamma(1000, 2, np.float32) < 1.6e-5
    True
    """
    dtype = np.dtype(dtype)
    if dtype.kind not in "fc":
        return 0.0
    if dtype == np.float16:
        return float(np.finfo(dtype).eps) + 1.001 * gamma(n_terms, n_operands, np.float32)
    additions = min(n_terms, 256) + -(-n_terms // 256)
    complex_ = dtype.kind == "c"
    k = 2 * additions + 3 * n_operands if complex_ else additions + n_operands
    ku = k * float(np.finfo(dtype).eps) / 2
    return (math.sqrt(2) if complex_ else 1) * ku / (1 - ku)


def error_bound(subscripts: str, *operands: Any, dtype: Any = None) -> np.ndarray:
    """How far each element of a result may lie from `einsum`'s: γ·Σ|products|, in float64.

    One subnormal is added, for a result that is itself subnormal. Underflow and overflow on the
    way to the result are not covered.
    """
    arrays, dtype = _cast(operands, dtype)
    _, output, extents = _parse(subscripts, [a.shape for a in arrays])
    n_terms = math.prod(n for index, n in extents.items() if index not in output)
    bound = gamma(n_terms, len(arrays), dtype) * einsum_abs(subscripts, *arrays, dtype=dtype)
    if dtype.kind in "fc":
        bound = bound + 2 * float(np.finfo(dtype).smallest_subnormal)
    return bound


def _cast(operands: Sequence[Any], dtype: Any) -> tuple[list[np.ndarray], np.dtype]:
    arrays = [np.asarray(x) for x in operands]
    dtype = np.result_type(*arrays) if dtype is None else np.dtype(dtype)
    dtype = dtype.newbyteorder("=")
    return [a.astype(dtype) for a in arrays], dtype


def _parse(
    subscripts: str, shapes: Sequence[Shape]
) -> tuple[list[list[Index]], list[Index], dict[Index, int]]:
    """The indices of each operand and of the output, and the extent of every index."""
    left, arrow, right = subscripts.partition("->")
    texts = left.split(",")
    if len(texts) != len(shapes):
        raise ValueError(f"{len(texts)} terms for {len(shapes)} operands")
    terms = [_term(text, len(shape)) for text, shape in zip(texts, shapes, strict=True)]
    extents: dict[Index, int] = {}
    for term, shape in zip(terms, shapes, strict=True):
        own: dict[Index, int] = {}
        for index, n in zip(term, shape, strict=True):
            if own.setdefault(index, n) != n:
                raise ValueError(f"index {index!r} has extents {own[index]} and {n}")
            known = extents.get(index, 1)
            if known != n and 1 not in (known, n):
                raise ValueError(f"index {index!r} has extents {known} and {n}")
            extents[index] = n if known == 1 else known
    under_dots = sorted(index for index in extents if isinstance(index, int))
    if arrow:
        n_letters = sum(map(str.isalpha, right))
        output = _term(right, n_letters + len(under_dots))
    else:
        counts = Counter(index for term in terms for index in term if isinstance(index, str))
        output = under_dots + sorted(letter for letter, n in counts.items() if n == 1)
    if len(set(output)) < len(output) or not set(output) <= set(extents):
        raise ValueError(f"output {right!r} repeats an index, or has one that no operand has")
    return terms, output, extents


def _term(text: str, ndim: int) -> list[Index]:
    head, dots, tail = (part.replace(" ", "") for part in text.partition("..."))
    if not all(c.isascii() and c.isalpha() for c in head + tail):
        raise ValueError(f"term {text!r} has a character that is no letter")
    rank = ndim - len(head) - len(tail)
    if rank < 0 or (rank > 0 and not dots):
        raise ValueError(f"term {text!r} does not fit {ndim} axes")
    return [*head, *range(-rank, 0), *tail]


def _offsets(term: Sequence[Index], shape: Shape, extents: dict[Index, int]) -> Iterator[int]:
    """Where the operand, laid out flat in C order, is read as every index takes every value.

    Axes of one index move together, and an extent of 1 stands still.
    """
    steps = dict.fromkeys(extents, 0)
    for axis, index in enumerate(term):
        if shape[axis] != 1:
            steps[index] += math.prod(shape[axis + 1 :])
    return map(sum, product(*([i * steps[x] for i in range(n)] for x, n in extents.items())))


def _inexact(sums: Callable[..., list], flats: Sequence[np.ndarray], dtype: np.dtype) -> np.ndarray:
    real = np.finfo(dtype).dtype
    parts = [flat.view(real) for flat in flats]
    finite = [np.where(np.isfinite(part), part, real.type(0)) for part in parts]
    scaled = [_over_power_of_two(part.tolist()) for part in finite]
    shift = sum(bits for _, bits in scaled)

    def add_up(factors: list[list]) -> list:
        if dtype.kind == "f":
            return sums(factors, 0, operator.add, operator.mul)
        pairs = [list(zip(f[::2], f[1::2], strict=True)) for f in factors]
        return [part for pair in sums(pairs, (0, 0), _add, _multiply) for part in pair]

    values = [_nearest(n, shift, real) for n in add_up([integers for integers, _ in scaled])]
    if not all(np.isfinite(part).all() for part in parts):
        special = add_up([part.tolist() for part in parts])
        values = [v if math.isfinite(s) else s for v, s in zip(values, special, strict=True)]
    with np.errstate(over="ignore"):  # beyond the largest of float16 or float32: infinity
        return np.array(values, real).view(dtype)


def _add(x: Pair, y: Pair) -> Pair:
    return x[0] + y[0], x[1] + y[1]


def _multiply(x: Pair, y: Pair) -> Pair:
    return x[0] * y[0] - x[1] * y[1], x[0] * y[1] + x[1] * y[0]


def _over_power_of_two(values: Sequence[float]) -> tuple[list[int], int]:
    """Integers n and bits b with value = n / 2**b, exactly."""
    ratios = [value.as_integer_ratio() for value in values]
    common = max((denominator for _, denominator in ratios), default=1)
    return [n * (common // denominator) for n, denominator in ratios], common.bit_length() - 1


def _nearest(n: int, shift: int, dtype: np.dtype) -> float:
    """n / 2**shift rounded to the nearest of `dtype`, ties to even, subnormals included."""
    info = np.finfo(dtype)
    excess = max(n.bit_length() - info.nmant - 1, shift + int(info.minexp) - info.nmant)
    if excess > 0:
        n, shift = round(Fraction(n, 1 << excess)), shift - excess
    try:
        return math.ldexp(n, -shift)
    except OverflowError:
        return math.copysign(math.inf, n)
