"""Random equations, and operands of every dtype and layout for them.

One generator serves both manners of test: given a `random.Random` it is plain and seeded, and
the Hypothesis strategies are the same generator on a `Random` that Hypothesis drives and shrinks.
First choices are therefore the simple ones. Every case is one that np.einsum accepts.
"""

import math
import re
import string
import tempfile
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from random import Random

import numpy as np
from hypothesis import strategies as st

# 257 is one more than a block of a blocked sum. The order is that of simplicity, for shrinking.
EXTENTS = (2, 3, 5, 7, 1) * 5 + (13, 17, 31, 257, 0)
FLOATS = ("float64", "float32", "complex128", "complex64", "float16")
INTEGERS = ("int64", "int32", "int16", "int8", "uint64", "uint32", "uint16", "uint8")
DTYPES = (*FLOATS, *INTEGERS, "bool")
MULTIPLIED = tuple(dtype for dtype in DTYPES if dtype not in ("float16", "bool"))
"""Types that microkernels multiply."""
PRODUCT_EXTENTS = (2, 3, 4, 5, 7, 8, 1, 9, 15, 16, 17, 33)
LAYOUTS = (
    "C",
    "F",
    "permuted",
    "negative",
    "stepped",
    "sliced",
    "tangled",  # the four before it at once
    "broadcast",  # zero strides
    "readonly",
    "subclass",
    "misaligned",
    "swapped",
    "field",
)  # and "memmap", never drawn: it costs a file
LIMIT = 3000  # of the product of all extents, which the reference loops over, and of a size
EXACT_HALF = 2048  # integers up to here are exact in float16


class Tagged(np.ndarray):
    """An ndarray in all but type."""


@dataclass(frozen=True)
class Case:
    """One call: its print is code that makes it again."""

    subscripts: str
    shapes: tuple[tuple[int, ...], ...]
    dtypes: tuple[str, ...]
    layouts: tuple[str, ...]

    def operands(
        self, rng: np.random.Generator | int = 0, kind: str = "integers"
    ) -> list[np.ndarray]:
        """Fresh operands, from a generator or a seed.

        "integers" are small integer values in whatever dtype, so that sums are exact in any
        order, zeros of either sign among them; "real" is the standard normal distribution where
        the dtype is inexact.
        """
        rng = np.random.default_rng(rng)
        most = self._magnitude()
        arrays = []
        for shape, dtype, layout in zip(self.shapes, self.dtypes, self.layouts, strict=True):
            drawn = shape
            if layout == "broadcast":  # zero strides need equal values
                keep = rng.random(len(shape)) < 0.5
                drawn = tuple(n if kept else 1 for n, kept in zip(shape, keep, strict=True))
            values = _draw(drawn, np.dtype(dtype), rng, most, kind == "real")
            arrays.append(lay_out(np.broadcast_to(values, shape), layout, rng))
        return arrays

    def _magnitude(self) -> int:
        """The largest magnitude up to 3 with which every sum is exact."""
        if np.result_type(*self.dtypes) != np.float16:
            return 3
        extents: dict[str | int, int] = {}
        for term, shape in zip(_terms(self.subscripts), self.shapes, strict=True):
            for index, n in zip(_indices(term, len(shape)), shape, strict=True):
                extents[index] = max(n, extents.get(index, 0))
        n_terms = math.prod(extents.values())
        fits = [m for m in (3, 2) if m ** len(self.shapes) * n_terms <= EXACT_HALF]
        return max(fits, default=1)


def random_equation(rng: Random) -> str:
    """Subscripts of 1 to 5 operands and 0 to 8 letters, with all that subscripts may have."""
    n_operands = rng.choice((2, 1, 2, 3, 2, 1, 3, 4, 5))
    alphabet = rng.sample(string.ascii_letters, rng.randint(0, 8))
    terms = [_random_term(rng, alphabet) for _ in range(n_operands)]
    if dotted := _seldom(rng, 0.3):
        for term in [terms[0], *(t for t in terms[1:] if not _seldom(rng, 0.4))]:
            term.insert(rng.randint(0, len(term)), "...")
    tokens = _joined(terms)
    if not _seldom(rng, 0.35):  # explicit output
        used = sorted({t for term in terms for t in term if t != "..."})
        output = rng.sample(used, rng.randint(0, len(used)))
        if dotted or _seldom(rng, 0.03):  # an ellipsis may stand for nothing
            output.insert(rng.randint(0, len(output)), "...")
        tokens += ["->", *output]
    if _seldom(rng, 0.15):
        tokens = [rng.choice(("", " ", "  ")) + token for token in tokens] + [" "]
    return "".join(tokens)


def operand_sets(subscripts: str, rng: Random, n: int, limit: int = LIMIT) -> list[Case]:
    """`n` cases of one equation, each with fresh extents, dtypes and layouts."""
    return [_random_case(subscripts, rng, limit) for _ in range(n)]


def random_case(rng: Random, limit: int = LIMIT) -> Case:
    """A case of a random equation; the product of all its extents is at most `limit`."""
    return _random_case(random_equation(rng), rng, limit)


def random_product(rng: Random, limit: int = LIMIT, dtypes: Sequence[str] = MULTIPLIED) -> Case:
    """A case of two operands that packed boxes are for: up to three indices in each of the groups
    M, N and K, some in both operands and the result, in one operand alone, or twice in one."""
    letters = iter(rng.sample(string.ascii_letters, 16))
    groups = [
        [next(letters) for _ in range(rng.choice(counts))]
        for counts in ((1, 2, 3), (1, 2, 3), (1, 2, 3), (0, 0, 1, 2), (0, 0, 0, 0, 1), (0, 0, 0, 1))
    ]
    m, n, k, batch, lone, twice = groups
    extents = {i: rng.choice(PRODUCT_EXTENTS) for group in groups for i in group}
    for group in (m, n, k):
        while math.prod(extents[i] for i in group) < 4:
            extents[rng.choice(group)] += 1
    while (total := math.prod(extents.values())) < 1024:
        extents[rng.choice(m + n + k)] += 3
    while total > limit:
        largest = max(extents, key=lambda i: extents[i])
        extents[largest] = extents[largest] // 2
        total = math.prod(extents.values())
    terms = [m + k + batch + lone, n + k + batch]
    terms[rng.choice((0, 1))] += twice * 2
    output = m + n + batch + (twice if rng.random() < 0.5 else [])
    for term in (*terms, output):
        rng.shuffle(term)
    rng.shuffle(terms)
    return _case_of(rng, terms, output, extents, dtypes, 0.7)


def random_short_loops(rng: Random, dtypes: Sequence[str] = MULTIPLIED) -> Case:
    """A product of operands of more indices than loops are nested, as states of qubits have them:
    of two or three iterations, in any order; one of the batch lies within lines, or none does."""
    letters = iter(rng.sample(string.ascii_letters, 30))
    most = rng.choice((4, 5))
    m, n, k = ([next(letters) for _ in range(rng.randint(4, most))] for _ in range(3))
    batch = [next(letters) for _ in range(rng.choice((0, 1, 2, 2)))]
    extents = {i: 2 + (rng.random() < 0.15) for i in (*m, *n, *k, *batch)}
    terms = [m + k + batch, n + k + batch]
    output = m + n + batch
    for term in (*terms, output):
        rng.shuffle(term)
    for term in terms if batch and rng.random() < 0.5 else ():
        term.remove(batch[0])
        term.insert(len(term) - rng.choice((0, 1, 2)), batch[0])
    rng.shuffle(terms)
    return _case_of(rng, terms, output, extents, dtypes, 0.5)


def random_many_loops(rng: Random, dtypes: Sequence[str]) -> Case:
    """A case of one or two operands that share nine to eleven short indices, so that a nest has
    loops beyond the ones that most have."""
    letters = rng.sample(string.ascii_letters, rng.randint(9, 11))
    terms = [
        rng.sample(letters, len(letters) - rng.randint(0, 2)) for _ in range(rng.choice((1, 2)))
    ]
    used = sorted({i for term in terms for i in term})
    output = rng.sample(used, len(used) - rng.choice((0, 0, 1, 3)))
    extents = {i: 2 + (rng.random() < 0.2) for i in used}
    return _case_of(rng, terms, output, extents, dtypes, 0.5)


def _case_of(
    rng: Random,
    terms: Sequence[Sequence[str]],
    output: Sequence[str],
    extents: dict[str, int],
    dtypes: Sequence[str],
    strange: float,
) -> Case:
    """The case of these terms, in one dtype and, so often, in any layouts."""
    shapes = tuple(tuple(extents[i] for i in term) for term in terms)
    any_layout = rng.random() < strange
    layouts = tuple(rng.choice(LAYOUTS) if any_layout else "C" for _ in terms)
    subscripts = ",".join(map("".join, terms)) + "->" + "".join(output)
    return Case(subscripts, shapes, (rng.choice(dtypes),) * len(terms), layouts)


def equation_strategy() -> st.SearchStrategy[str]:
    """`random_equation`, for Hypothesis."""
    return st.randoms(use_true_random=False).map(random_equation)


def case_strategy(subscripts: str | None = None, limit: int = LIMIT) -> st.SearchStrategy[Case]:
    """`random_case` for Hypothesis, of one equation if `subscripts` are given."""

    def draw(rng: Random) -> Case:
        return _random_case(random_equation(rng) if subscripts is None else subscripts, rng, limit)

    return st.randoms(use_true_random=False).map(draw)


def lay_out(array: np.ndarray, layout: str, rng: np.random.Generator | int = 0) -> np.ndarray:
    """An array equal to `array` that lies in memory as `layout` (one of LAYOUTS, or "memmap") says.

    What lies between its elements is NaN, or 101: a kernel that strays there is found out.
    "swapped" changes the dtype's byte order, "broadcast" gives a zero stride to every axis along
    which the values are equal.
    """
    rng = np.random.default_rng(rng)
    shape, dtype = array.shape, array.dtype
    match layout:
        case "C" | "F":
            return np.array(array, order=layout, subok=False)
        case "permuted":
            return _strided(array, rng, permute=True)
        case "negative":
            return _strided(array, rng, negate=True)
        case "stepped":
            return _strided(array, rng, step=2)
        case "sliced":
            return _strided(array, rng, margin=1)
        case "tangled":
            return _strided(array, rng, permute=True, negate=True, step=2, margin=1)
        case "broadcast":
            kept = array
            for axis in range(array.ndim):
                first = kept.take([0], axis) if kept.size else kept
                same = np.broadcast_to(first, kept.shape).tobytes() == kept.tobytes()
                kept = first if same else kept
            return np.broadcast_to(kept.copy(), shape)
        case "readonly":
            result = array.copy()
            result.flags.writeable = False
            return result
        case "subclass":
            return array.copy().view(Tagged)
        case "misaligned":
            buffer = np.empty(array.nbytes + 1, np.uint8)
            result = np.ndarray(shape, dtype, buffer, offset=1)
        case "swapped":
            return array.astype(dtype.newbyteorder(), order="C")
        case "field":
            # Beside its real part's dtype, a complex field stays aligned at 1.5 items a stride.
            tag = np.finfo(dtype).dtype if dtype.kind == "c" else np.int8
            record = np.empty(shape, [("value", dtype), ("tag", tag)])
            record["tag"] = 101
            result = record["value"]
        case "memmap":
            with tempfile.TemporaryFile() as file:  # an element too many: no map may be empty
                whole = np.memmap(file, dtype, "w+", shape=(array.size + 1,))
            result = whole[: array.size].reshape(shape)
        case _:
            raise ValueError(f"no layout {layout!r}")
    result[...] = array
    return result


def _seldom(rng: Random, chance: float) -> bool:
    return rng.random() > 1 - chance  # Hypothesis shrinks towards 0.0: towards False


def _joined(terms: Iterable[list[str]]) -> list[str]:
    """The tokens of all terms, commas between."""
    return [token for term in terms for token in (",", *term)][1:]


def _random_term(rng: Random, alphabet: Sequence[str]) -> list[str]:
    term = rng.sample(alphabet, min(len(alphabet), rng.choice((2, 1, 3, 2, 4, 0))))
    while term and _seldom(rng, 0.15):  # an index twice, or more
        term.insert(rng.randint(0, len(term)), rng.choice(term))
    return term


def _terms(subscripts: str) -> list[list[str]]:
    """The tokens of each operand: letters, and one token for an ellipsis."""
    inputs = subscripts.partition("->")[0]
    return [re.findall(r"\.\.\.|[A-Za-z]", text) for text in inputs.split(",")]


def _indices(term: Sequence[str], ndim: int) -> list[str | int]:
    """The index of each axis; those under the ellipsis are counted from the right, from -1."""
    under_dots = range(len(term) - 1 - ndim, 0)
    return [i for token in term for i in (under_dots if token == "..." else token)]


def _random_case(subscripts: str, rng: Random, limit: int) -> Case:
    terms = _terms(subscripts)
    if _seldom(rng, 0.2):
        dtypes = tuple(rng.choice(DTYPES) for _ in terms)
    else:
        dtypes = (rng.choice(DTYPES),) * len(terms)
    if np.result_type(*dtypes) == np.float16:
        limit = min(limit, EXACT_HALF)
    most = rng.choice((1, 0, 2, 3))
    ranks = [rng.randint(0, most) if _seldom(rng, 0.4) else most for _ in terms]
    axes = [
        _indices(term, len(term) - 1 + rank if "..." in term else len(term))
        for term, rank in zip(terms, ranks, strict=True)
    ]
    extents = _random_extents(axes, rng, limit)
    shrunk = 0.3 if _seldom(rng, 0.25) else 0.0
    shapes = []
    for indices in axes:
        ones = {i for i in dict.fromkeys(indices) if shrunk and _seldom(rng, shrunk)}
        shapes.append(tuple(1 if i in ones else extents[i] for i in indices))
    if _seldom(rng, 0.7):
        layouts = tuple(rng.choice(LAYOUTS) for _ in terms)
    else:
        layouts = ("C",) * len(terms)
    return Case(subscripts, tuple(shapes), dtypes, layouts)


def _random_extents(
    axes: Sequence[Sequence[str | int]], rng: Random, limit: int
) -> dict[str | int, int]:
    """An extent for each index: their product, and the size of each operand, at most `limit`."""
    powers: dict[str | int, int] = {}
    for term in axes:
        powers |= {i: max(n, powers.get(i, 0)) for i, n in Counter(term).items()}
    extents = {}
    to_come = sum(powers.values())
    for index in rng.sample(list(powers), len(powers)):
        power = powers[index]
        to_come -= power
        most = max(1, limit // 2**to_come)  # leaves room for 2 in each index to come
        extents[index] = rng.choice([n for n in EXTENTS if n**power <= most])
        limit //= max(1, extents[index] ** power)
    return extents


def _draw(
    shape: tuple[int, ...], dtype: np.dtype, rng: np.random.Generator, most: int, real: bool
) -> np.ndarray:
    """Integers up to `most` in magnitude, or normal values where `real` and the dtype has them."""
    if dtype.kind == "c":
        result = np.empty(shape, dtype)
        part = np.finfo(dtype).dtype
        result.real = _draw(shape, part, rng, most, real)
        result.imag = _draw(shape, part, rng, most, real)
        return result
    if dtype.kind == "f" and real:
        return np.asarray(rng.standard_normal(shape)).astype(dtype)
    low = -most if dtype.kind == "i" else 0
    high = 1 if dtype.kind == "b" else most
    values = np.asarray(rng.integers(low, high, shape, endpoint=True)).astype(dtype)
    if dtype.kind == "f":
        values *= rng.choice((-1, 1), shape).astype(dtype)  # so that -0.0 comes too
    return values


def _junk(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    return np.full(shape, np.nan if dtype.kind in "fc" else 101, dtype)


def _strided(
    array: np.ndarray,
    rng: np.random.Generator,
    *,
    permute: bool = False,
    negate: bool = False,
    step: int = 1,
    margin: int = 0,
) -> np.ndarray:
    """`array` as a view of a bigger one."""
    ndim = array.ndim
    order = rng.permutation(ndim) if permute else np.arange(ndim)
    signs = rng.choice((1, -1), ndim) if negate else np.ones(ndim, int)
    if negate and ndim:
        signs[rng.integers(ndim)] = -1
    lengths = [array.shape[axis] for axis in order]
    base = _junk(tuple(step * n + 2 * margin for n in lengths), array.dtype)
    view = base[(*(slice(margin, margin + step * n, step) for n in lengths), ...)]
    view = view[(*(slice(None, None, sign) for sign in signs), ...)]
    view = view.transpose(np.argsort(order))
    view[...] = array
    return view
