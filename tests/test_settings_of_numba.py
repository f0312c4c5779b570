"""NUMBA_DISABLE_JIT runs generated source as plain Python; NUMBA_BOUNDSCHECK changes nothing."""

import children
import numpy as np
import pytest
from strategies import Case

import einjit
from einjit.registry import registry

EVERY_LOWERING = (
    *("ij->ji", "ii->i", "ij->", "i->"),
    # nests
    *("i,i->", "ij->j", "ij->i", "i,j->ij", "ij,ij->ij", "ij,ji->ij", "ij,j->i", "ij,i->j"),
    *(",ij->ij", ",->", "i,,->i", "ij,kj->ik", "ijk,kj->i", "ii,ij->j", "i...,i...->..."),
    # tiny sums, packed boxes in all transposes, several steps
    *("baa,ba->b", "bac,bcd->bad", "kl,lm->km", "lk,lm->km", "kl,ml->km", "lk,ml->mk"),
    *("akl,alm->akm", "kla,lma->kma", "kal,lbm->abkm", "kl,lm,mn->kn", "kl,lm,mk->"),
)
EXTENTS = {"a": 3, "b": 70, "c": 4, "d": 2, "i": 5, "j": 7, "k": 19, "l": 23, "m": 18, "n": 20}
LONG = (("i->", {"i": 1 << 18}), ("ij,ik->jk", {"i": 4097, "j": 4, "k": 5}), ("ij->", {"i": 0}))
"""Split sums, spans of a packed one, and an extent of 0."""


def cases():
    for number, subscripts in enumerate(EVERY_LOWERING):
        dtypes = ("float64", ("float32", "complex64", "int8", "bool", "float16")[number % 5])
        for dtype in dtypes if number % 3 else dtypes[1:]:
            yield case(subscripts, EXTENTS, dtype)
    for subscripts, extents in LONG:
        yield case(subscripts, {**EXTENTS, **extents}, "int32")


def case(subscripts, extents, dtype):
    terms = subscripts.replace("...", "n").split("->")[0].split(",")
    shapes = tuple(tuple(extents[letter] for letter in term) for term in terms)
    return Case(subscripts, shapes, (dtype,) * len(terms), ("C",) * len(terms))


def check():
    """Every case twice, the second time as a known call."""
    for each in cases():
        operands = each.operands(5)
        expected = np.einsum(each.subscripts, *operands)
        for _ in range(2):
            found = np.asarray(einjit.einsum(each.subscripts, *operands))
            assert found.dtype == expected.dtype
            np.testing.assert_array_equal(found, expected, err_msg=str(each))
    print(registry.stats()["compiled"] > 0, registry.stats()["hits"] > 50)


CHECK = "import test_settings_of_numba as t; t.check()"


@pytest.mark.parametrize("setting", ["NUMBA_DISABLE_JIT", "NUMBA_BOUNDSCHECK"])
def test_results_are_the_same(setting, tmp_path):
    given = {setting: 1, "EINJIT_CACHE_DIR": tmp_path, "EINJIT_STRICT": 1}
    assert children.run(CHECK, timeout=240, **given) == "True True"
    if setting == "NUMBA_DISABLE_JIT":
        assert not list(tmp_path.rglob("*"))  # nothing was compiled


def test_plain_python_stops_where_it_is_told():
    """An error in generated source comes up with its traceback, and prints are printed."""
    code = """
        import traceback
        import numpy as np, einjit
        a = np.ones((2, 3))
        einjit.einsum("ij->i", a)
        (kernel,) = einjit.registry["ij->i"]
        kernel.contract.__globals__["minimum"] = None
        kernel.contract.__globals__["restrict"] = lambda address, kind: 1 // 0
        try:
            einjit.einsum("ij->i", a)
        except ZeroDivisionError:
            print(traceback.format_exc())
    """
    said = children.run(code, NUMBA_DISABLE_JIT=1)
    assert "A = restrict(operands[0], float64)" in said


def test_plain_python_goes_on_after_any_number_of_errors():
    """None of them keeps the memory that boxes are packed in."""
    code = """
        import numpy as np, einjit
        a = np.ones((40, 40))
        einjit.einsum("ij,jk->ik", a, a)
        (kernel,) = einjit.registry["ij,jk->ik"]
        names = kernel.contract.__globals__
        call, names["call13"] = names["call13"], lambda address, arguments: 1 // 0
        for _ in range(100):
            try:
                einjit.einsum("ij,jk->ik", a, a)
            except ZeroDivisionError:
                continue
            raise AssertionError("an error was swallowed")
        names["call13"] = call
        print((einjit.einsum("ij,jk->ik", a, a) == 40).all())
    """
    assert children.run(code, NUMBA_DISABLE_JIT=1) == "True"
