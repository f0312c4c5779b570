"""Subscripts by an enemy: refused as numpy refuses them, or contracted, and never in a source."""

import random

import numpy as np
import pytest
from outcomes import arange, outcome, same

import einjit
from einjit.source.elements import ELEMENTS
from einjit.source.module import Source

HOSTILE = [
    *"'\"\\\n\r\t\0#;:(){}[]%$`_-+*/<>=@!0123456789",
    *"ijkzZ,. ",
    *("->", "...", "..", "-", ">", "->->", ",,", "i" * 70, "," * 70, "." * 30),
    *("__import__('os').abort()", '"""', "{0}", "%s", "\n    raise SystemExit\n", "lambda: 0"),
    *("\x1b[31m", "\x7f", "\xe9", "\u0456", "\uff49", "\ufb01", "\u212a", "\u017f", "\u2192"),
    *("\u200b", "\u202e", "\ud800", "\udfff", "\U0001f4a3"),
]
HUGE = ("i" * 10**6, "'" * 10**6, "\u0456" * 10**6, " " * 10**6, "\0" * 10**6, "," * 10**6)


def hostile(rng):
    text = rng.choice(("ij,jk->ik", "ij,jk", "...j,j...->...", "ij,ij->ij", "ij, jk -> ", ""))
    edits = rng.choice((0, 1, 2, 3))
    for _ in range(edits):
        piece = rng.choice(HUGE) if rng.random() < 0.01 else rng.choice(HOSTILE)
        at = rng.randint(0, len(text))
        text = text[:at] + piece + text[at + rng.randint(0, 1) :]
    if not edits:  # what numpy does not read any more
        text += "\0" + rng.choice(HOSTILE)
    return text


def check_hostile(seeds):
    a, b = arange(3, 3, dtype="i8"), arange(3, 3, dtype="i8").T.copy()
    accepted = 0
    einjit.registry.clear()  # of other tests' kernels
    for seed in seeds:
        text = hostile(random.Random(seed))
        kernels = len(einjit.registry)
        found = outcome(einjit.einsum, text, a, b)
        if isinstance(found, type):
            assert found in (ValueError, TypeError), seed
            assert len(einjit.registry) == kernels, seed
        else:
            assert text.isascii(), seed
            accepted += 1
        if text.isascii():
            assert same(found, outcome(np.einsum, text, a, b)), seed
    assert accepted > len(seeds) // 10
    for kernel in einjit.registry:  # a source says what its nest says, and a nest holds numbers
        nest = kernel.source.nest
        assert kernel.source.text == Source(nest).text
        assert all(type(loop) is int for term in nest.terms for loop in term)
        assert {*nest.dtypes, nest.compute} <= ELEMENTS.keys()
        assert all(
            type(n) in (int, bool, type(None))
            for n in (nest.loops, nest.tile, nest.strip, nest.span)
        )
        assert all(type(unit) is bool for unit in nest.unit)


@pytest.mark.parametrize("chunk", range(4))
def test_hostile_subscripts(chunk):
    check_hostile(range(500 * chunk, 500 * chunk + 500))


@pytest.mark.campaign
@pytest.mark.parametrize("chunk", range(40))
def test_hostile_subscripts_at_length(chunk):
    check_hostile(range(2000 + 500 * chunk, 2500 + 500 * chunk))


@pytest.mark.parametrize(
    "subscripts",
    [
        "ZQ,Qx->Zx",
        "  i j ,jk\0'\"\n__import__('os').abort()",
        b"xy,yz->xz\0\xff{0}%s",
    ],
)
def test_one_source_whatever_the_letters(subscripts):
    a, b = arange(3, 3, dtype="u2"), arange(3, 3, dtype="u2")
    einjit.einsum("ij,jk->ik", a, b)
    kernels = list(einjit.registry)
    np.testing.assert_array_equal(einjit.einsum(subscripts, a, b), a @ b)
    assert list(einjit.registry) == kernels
