"""Generated source: golden texts that are compared and run, and what holds for any text.

A changed generator changes the golden files: `pytest --update-golden tests/test_source.py` writes
them anew. Each text is run against the reference all the same.
"""

import ctypes
import hashlib
import io
import keyword
import operator
import os
import re
import subprocess
import sys
import tokenize
from collections import Counter
from itertools import pairwise
from pathlib import Path
from random import Random
from types import CodeType

import numpy as np
import pytest
import reference
from numpy.lib.stride_tricks import as_strided
from strategies import Case, random_case

from einjit.equation.operands import Layout, as_plain
from einjit.equation.parser import parse
from einjit.kernel.build import Kernel
from einjit.kernel.call import allocate, ready
from einjit.names import index_name, operand_name
from einjit.plan import lowering
from einjit.plan import path as paths
from einjit.plan import plan as planning
from einjit.plan.plan import make_plan
from einjit.registry import registry
from einjit.source import nest as nest_writer
from einjit.source.elements import ELEMENTS
from einjit.source.module import INTRINSICS, Source, write_source
from einjit.source.writer import WIDTH, Writer

FOLDER = Path(__file__).parent / "golden"
LARGE = 50_000  # iterations from which one exact set of operands is enough for the reference


def case(subscripts, *shapes, dtypes="float64", layouts="C"):
    """Operands of one dtype and layout, or a tuple of them."""
    n = len(shapes)
    dtypes = (dtypes,) * n if isinstance(dtypes, str) else dtypes
    layouts = (layouts,) * n if isinstance(layouts, str) else layouts
    return Case(subscripts, shapes, dtypes, layouts)


GOLDEN = {
    # Nothing contracted.
    "product": case("i,j->ij", (70,), (6,)),
    "product_two_tile_loops": case("i,j,k->ijk", (5,), (4,), (7,), dtypes="float32"),
    "product_strips": case("i,i->i", (600,), (600,), dtypes="complex128"),
    "product_tile_and_strips": case("i,j->ij", (3,), (300,), dtypes="float16"),
    "product_two_tiles_and_strips": case("i,j,k->ijk", (3,), (4,), (300,), dtypes="int8"),
    "product_joint": case("abcdefghi,ihgfedcba->abcdefghi", (8, 8, *[2] * 7), (*[2] * 7, 8, 8)),
    "product_scalar": case(",ij->ij", (), (4, 5), dtypes="bool"),
    "product_no_loops": case(",->", (), ()),
    # The sum in a register.
    "register_sum": case("ij,kj->ik", (70, 600), (3, 600)),
    "register_sum_two_tile_loops": case("ij,kj->ik", (5, 300), (6, 300), dtypes="complex64"),
    "register_sum_exact": case("ij,kj->ik", (5, 7), (6, 7), dtypes="int16"),
    "register_sum_bool": case("ij,j->i", (5, 7), (7,), dtypes="bool"),
    "register_sum_half": case("ij,j->i", (5, 300), (300,), dtypes="float16"),
    "register_sum_stepped": case("ij,ji->i", (5, 40), (40, 5), layouts="stepped"),
    "register_sum_joint": case("abcdefgh,hgfedcba->", (3, *[2] * 7), (*[2] * 7, 3)),
    "register_sum_mixed": case("ij,j->i", (300, 300), (300,), dtypes=("int8", "float32")),
    "register_sum_spans": case("i,i->", (1 << 18,), (1 << 18,)),
    "register_sum_spans_inside": case("ijk,jk->i", (3, 300, 300), (300, 300), layouts=("C", "F")),
    # The sums of a strip in the cache.
    "strip_sum": case("ij,jk->ik", (70, 20), (20, 30), dtypes="float32"),
    "strip_sum_blocks": case("ij,jk->ik", (2, 600), (600, 40)),
    "strip_sum_exact": case("ij,jk->ik", (5, 7), (7, 6), dtypes="uint8"),
    "strip_sum_bool": case("ij,jk->ik", (5, 7), (7, 6), dtypes="bool"),
    "strip_sum_complex": case("ij,jk->ik", (5, 7), (7, 6), dtypes="complex64"),
    "strip_sum_strips": case("ij,i->j", (4, 600), (4,), dtypes="float16"),
    "strip_sum_tile_and_strips": case("ij,jk->ik", (3, 4), (4, 600)),
    "strip_sum_spans": case("ij->j", (1 << 15, 8), dtypes="uint32"),
    "strip_sum_hoisted": case("ij,jk,kl,->il", (5, 6), (6, 7), (7, 8), ()),
    "strip_sum_joint": case("abcdefgh,hgfedcbi->ai", (2,) * 8, (*[2] * 7, 9)),
    # More operands than a line holds.
    "many_operands": case("ab,bc,cd,de,ef,fa,ad->", *[(2, 3), (3, 2)] * 3, (2, 3)),
}


def plan_of(case, optimize=False):
    operands = [as_plain(operand) for operand in case.operands(1)]
    equation = parse(case.subscripts, [operand.ndim for operand in operands])
    dtype = np.result_type(*operands).name
    return make_plan(equation, list(map(Layout.of, operands)), dtype, optimize=optimize)


def nests(plan):
    return [step.lowered.nest for step in plan.steps if step.lowered.nest]


def tool(*arguments):
    """What ruff says, by its own rules and not the project's."""
    command = [sys.executable, "-m", "ruff", *arguments, "--isolated", "--no-cache"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="module")
def random_sources():
    """The sources of a few hundred nests of random equations, by their module's name."""
    rng, found = Random(23), {}
    while len(found) < 400:
        drawn = random_case(rng, 3000)
        if all("longdouble" not in dtype for dtype in drawn.dtypes):
            for optimize in (False, "auto"):
                for nest in nests(plan_of(drawn, optimize)):
                    source = write_source(nest)
                    found[source.module] = source
    return found


# --- golden texts


@pytest.mark.parametrize("name", GOLDEN)
def test_golden(name, request):
    plan = plan_of(GOLDEN[name])
    nest = plan.steps[0].lowered.nest
    written = write_source(nest).text
    path = FOLDER / f"{name}.py"
    if request.config.getoption("--update-golden"):
        path.write_text(written)
    text = path.read_text()
    assert text == written
    kernels = {nest: Kernel(Source(nest, text))}
    call = ready(plan, registry.native, lambda other: kernels.get(other) or registry.kernel(other))
    large = plan.steps[0].lowered.loops.iterations > LARGE
    for kind in ("integers",) if large else ("integers", "real"):
        operands = GOLDEN[name].operands(7, kind)
        _check(call(GOLDEN[name].subscripts, *map(as_plain, operands)), kind, name, operands)
    assert kernels[nest].calls == (1 if large else 2)


def _check(result, kind, name, operands):
    subscripts = GOLDEN[name].subscripts
    expected = reference.einsum(subscripts, *operands)
    assert result.dtype == expected.dtype
    assert result.shape == expected.shape
    if kind == "integers":
        assert np.asarray(result).tobytes() == expected.tobytes()
    else:
        error = abs(np.subtract(result, expected, dtype=np.result_type(expected, np.float64)))
        assert (error <= reference.error_bound(subscripts, *operands)).all()


def test_golden_files_are_those_of_the_table():
    assert sorted(path.stem for path in FOLDER.glob("*.py")) == sorted(GOLDEN)


def test_golden_nests_cover_every_part():
    found = {name: plan_of(case).steps[0].lowered.nest for name, case in GOLDEN.items()}
    assert len(set(found.values())) == len(found)
    seen = {(nest.kind, min(nest.tile, 2), nest.strip) for nest in found.values()}
    assert seen >= {
        ("product", 0, False),
        ("product", 1, False),
        ("product", 2, False),
        ("product", 0, True),
        ("product", 1, True),
        ("product", 2, True),
        ("register_sum", 0, False),
        ("register_sum", 1, False),
        ("register_sum", 2, False),
        ("strip_sum", 0, True),
        ("strip_sum", 1, False),
        ("strip_sum", 1, True),
    }
    spans = {
        (nest.kind, nest.span == nest.loops - 1) for nest in found.values() if nest.span is not None
    }
    assert spans == {("register_sum", True), ("register_sum", False), ("strip_sum", False)}
    joint = {nest.kind for nest in found.values() if "jointly" in write_source(nest).text}
    assert len(joint) == 3
    exact = {(nest.kind, ELEMENTS[nest.compute].exact) for nest in found.values()}
    assert len(exact) == 6
    assert {nest.compute for nest in found.values()} >= {"bool", "float32", "complex64", "int8"}


def test_golden_texts_are_formatted_and_use_every_name():
    width = str(WIDTH)
    assert tool("format", "--check", "--line-length", width, str(FOLDER))[0] == 0
    assert tool("check", "--select", "F", str(FOLDER)) == (0, "All checks passed!\n")


# --- what holds for any text


def test_any_text_is_formatted_and_uses_every_name(random_sources, tmp_path):
    for source in random_sources.values():
        (tmp_path / f"{source.module.rpartition('.')[2]}.py").write_text(source.text)
    code, said = tool("format", "--diff", "--line-length", str(WIDTH), str(tmp_path))
    assert code == 0, said
    assert tool("check", "--select", "F", str(tmp_path)) == (0, "All checks passed!\n")


def test_any_text_is_python(random_sources):
    for source in random_sources.values():
        code = compile(source.text, source.module, "exec")
        functions = [c.co_name for c in code.co_consts if isinstance(c, CodeType)]
        assert functions == ["contract"]


NAMES = re.compile(
    r"""n_[a-z]\d* | [A-Z]\d*_([a-z]\d*|tile) | at_[A-Z]\d* | hoisted_\d+ | [a-z]\d* | [A-Z]\d*""",
    re.VERBOSE,
)
WORDS = {
    *("contract", "first", "last", "operands", "sizes", "range", "CODEGEN", "_"),
    *("tile", "rest", "joint", "strips", "low", "high", "start", "stop", "span"),
    *("total", "part", "run", "terms", "block", "end", "product"),
    *("numba", "types", "einjit", "kernel", "intrinsics", *INTRINSICS),
    *(element.carrier for element in ELEMENTS.values()),
}


def test_no_text_of_the_users_gets_in(random_sources):
    """Every name is one of the generator's, and there is no string but the docstring."""
    for source in random_sources.values():
        strings = []
        for token in tokenize.generate_tokens(io.StringIO(source.text).readline):
            if token.type == tokenize.NAME and not keyword.iskeyword(token.string):
                assert token.string in WORDS or NAMES.fullmatch(token.string), token.string
            if token.type == tokenize.STRING:
                strings.append(token.string)
        assert len(strings) == 1
        assert source.text.isascii()


def test_letters_do_not_matter():
    texts = set()
    for subscripts in ("ij,jk->ik", "Zq,qX->ZX", " b a , a c -> b c ", "...y,yz->...z"):
        (nest,) = nests(plan_of(case(subscripts, (3, 4), (4, 5))))
        texts.add(write_source(nest).text)
    assert len(texts) == 1


def test_same_nest_same_bytes():
    """In this process and in others, whatever the seed of their hashes."""
    digests = {_digest()}
    code = "import sys; sys.path[:0] = [sys.argv[1]]; import test_source as t; print(t._digest())"
    for seed in ("0", "1"):
        environment = {**os.environ, "PYTHONHASHSEED": seed}
        command = [sys.executable, "-c", code, str(Path(__file__).parent)]
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
        digests.add(done.stdout.strip())
    assert len(digests) == 1


def _digest():
    texts = [write_source(nest).text for case in GOLDEN.values() for nest in nests(plan_of(case))]
    return hashlib.sha256("".join(texts).encode()).hexdigest()


def test_other_nest_other_module(random_sources):
    assert len({source.nest for source in random_sources.values()}) == len(random_sources)
    for module, source in random_sources.items():
        assert re.fullmatch(rf"einjit\.generated\.{source.nest.kind}_[0-9a-f]{{16}}", module)
        assert str(source) == source.text


def test_the_header_is_the_print_of_the_step():
    (nest,) = nests(plan_of(case("ij,jk->ik", (70, 20), (20, 30), dtypes="float16")))
    header = write_source(nest).text.split('"""')[1]
    assert header == (
        "ab,bc->ac\n\n"
        "A[a, b]: float16\n"
        "B[b, c]: float16\n"
        "C[a, c]: float16, summed in float32\n"
        "a: free, runs in parallel\n"
        "b: contracted\n"
        "c: free, innermost, unit stride in B, C\n"
    )


# --- texts as plain Python


class Memory:
    """What `pointer` gives: the elements from an array's first on, and none that it has not."""

    def __init__(self, array, kind):
        self.array, self.kind = array, np.dtype(kind)
        assert self.kind.itemsize == array.itemsize
        self.bounds = np.lib.array_utils.byte_bounds(array)

    def at(self, place):
        address = self.array.ctypes.data + int(place) * self.kind.itemsize
        assert self.bounds[0] <= address < self.bounds[1]
        buffer = (ctypes.c_char * self.kind.itemsize).from_address(address)
        return np.ndarray((), self.kind, buffer)

    def __getitem__(self, place):
        return self.at(place)[()]

    def __setitem__(self, place, value):
        self.at(place)[()] = value


PLAIN = {
    "pointer": Memory,
    "scratch": lambda n, kind: junk(np.empty(n, kind)),
    "minimum": min,
    "times": operator.mul,
    "widen": lambda half: np.float32(half.view(np.float16)),
    "narrow": lambda value: np.float16(value).view(np.uint16),
    **{e.carrier: getattr(np, e.carrier) for e in ELEMENTS.values()},
}


def junk(array):
    array[...] = np.nan if array.dtype.kind in "fc" else 77
    return array


def carry_out(plan, operands, out, rng):
    """The result of a plan, its texts run as they stand, the tiles in pieces and any order."""
    pairs = zip(operands, plan.cast, strict=True)
    slots = [np.array(o, plan.result.dtype, order="C") if cast else o for o, cast in pairs]
    for step in plan.steps:
        lowered, inputs = step.lowered, [slots[i] for i in step.inputs]
        given = out if step is plan.steps[-1] else None
        if lowered.name == "empty":
            made = np.zeros(step.result.shape, step.result.dtype)
        elif lowered.nest is None:  # a view or a copy
            pairs = zip(lowered.loops.indices, lowered.loops.strides[0], strict=True)
            along = {index: stride * inputs[0].itemsize for (index,), stride in pairs}
            made = as_strided(inputs[0], step.result.shape, [along[i] for i in step.kept])
            made = made.astype(step.result.dtype)
        else:
            made = junk(allocate(step.result)) if given is None else given
            lines = write_source(lowered.nest).text.splitlines(keepends=True)
            space = dict(PLAIN)
            exec("".join(line for line in lines if not line.startswith("from ")), space)
            arrays = [*(inputs[i] for i in lowered.order), made]
            cuts = sorted({0, lowered.tiles, *(rng.randint(0, lowered.tiles) for _ in range(2))})
            for first, past in rng.sample(pieces := list(pairwise(cuts)), len(pieces)):
                space["contract"](first, past, arrays, lowered.sizes)
        slots.append(made)
    return slots[-1]


def test_texts_mean_what_the_reference_says(monkeypatch):
    """Also with limits so low that small operands reach every part."""
    rng, kinds = Random(31), Counter()
    for _ in range(700):
        with monkeypatch.context() as patch:
            if rng.random() < 0.8:
                low = {"LONG_SUM": 9, "TILES": 4, "FEW_TILES": 5, "SPANS": 3, "STRIP": 3}
                for name, limit in low.items():
                    patch.setattr(lowering, name, limit)
                patch.setattr(nest_writer, "STRIP", 3)
                patch.setattr(nest_writer, "BLOCK", rng.choice((2, 3)))
                patch.setattr(planning, "EARLY", 6)
                patch.setattr(planning, "CAST_FIRST", rng.choice((0, 5)))
                patch.setattr(paths, "STEP", rng.choice((0, 50)))
            drawn = random_case(rng, 400)
            given = drawn.operands(1)
            expected = reference.einsum(drawn.subscripts, *given)
            operands = list(map(as_plain, given))
            out = junk(np.empty([2 * n for n in expected.shape], expected.dtype))
            out = out[(*[slice(None, None, -2)] * out.ndim, ...)] if rng.random() < 0.3 else None
            plan = make_plan(
                parse(drawn.subscripts, [operand.ndim for operand in operands]),
                list(map(Layout.of, operands)),
                expected.dtype.name,
                out=None if out is None else Layout.of(out),
                order=rng.choice("KCFA"),
                optimize=rng.choice(("auto", False, "greedy")),
            )
            with np.errstate(over="ignore"):  # integers wrap
                result = carry_out(plan, operands, out, rng)
            assert result.dtype == expected.dtype, drawn
            assert result.shape == expected.shape, drawn
            assert result.tobytes() == expected.tobytes(), drawn
            for nest in nests(plan):
                kinds.update([nest.kind, nest.strip * "strip", "span" * (nest.span is not None)])
    assert min(kinds.values()) > 50


# --- names and lines


def test_names_go_on_behind_z():
    numbers = (0, 25, 26, 51, 52, 77)
    assert [index_name(n) for n in numbers] == ["a", "z", "a1", "z1", "a2", "z2"]
    assert [operand_name(n) for n in numbers] == ["A", "Z", "A1", "Z1", "A2", "Z2"]
    assert len({index_name(n) for n in range(500)}) == 500


def test_writer():
    w = Writer()
    w.line("n = 3", "a size")
    with w.block("for i in range(n):", "rows"):
        w.line("x = i")
        w.line()
        with w.block("if x:"):
            w.line("y = " + "x" * (WIDTH - 12), "no room behind it")
    w.line("done = n")
    assert w.text().splitlines() == [
        "n = 3  # a size",
        "for i in range(n):  # rows",
        "    x = i",
        "",
        "    if x:",
        "        # no room behind it",
        "        y = " + "x" * (WIDTH - 12),
        "done = n",
    ]


def test_a_comment_stands_behind_as_long_as_it_fits():
    for n, n_lines in ((WIDTH - 8, 1), (WIDTH - 7, 2)):
        w = Writer()
        w.line("x" * n, "1234")
        assert len(w.lines) == n_lines
        assert max(map(len, w.lines)) <= WIDTH
