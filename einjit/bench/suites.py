"""The cases: what is measured."""

import math
import re
from collections.abc import Iterator, Mapping, Sequence

from einjit.bench.cases import Case, Point
from einjit.bench.levels import LEVELS

REALS = ("float32", "float64")
FLOATS = (*REALS, "complex64", "complex128")
INTEGERS = ("int8", "int16", "int32", "int64")
DTYPES = (*FLOATS, *INTEGERS, "bool")
NUMBERS = (*REALS, "complex64", "int32")

SUITES = ("bandwidth", "products")

BANDWIDTH = {
    "reductions": """
        total                   ij->                   i=* j=*
        row sums                ij->i                  i=* j=*
        column sums             ij->j                  i=* j=*
        sums of short rows      ij->i                  i=* j=8
        sums of few columns     ij->j                  i=* j=8
        sums of the middle      ijk->ik                i=* j=8* k=*
        sums but the middle     ijk->j                 i=* j=* k=*
        channel sums            nhwc->c                n=* h=4 w=4 c=32
        pooled images           nchw->nc               n=* c=16 h=7 w=7
        dot                     i,i->                  i=*
        Frobenius               ij,ij->                i=* j=*
        dots of rows            ij,ij->i               i=* j=2
    """,
    "elementwise": """
        Hadamard                ij,ij->ij              i=* j=*
        scaled columns          ij,j->ij               i=* j=*
        scaled rows             ij,i->ij               i=* j=*
        times a scalar          ,ij->ij                i=* j=*
        times its transpose     ij,ji->ij              i=* j=*
        three factors           ij,ij,ij->ij           i=* j=*
        outer                   i,j->ij                i=* j=*
        outer, batched          bi,bj->bij             b=* i=16 j=16
        outer of three          i,j,k->ijk             i=* j=* k=*
        Khatri-Rao              ik,jk->ijk             i=* j=* k=16
        along the middle        ijk,ik->ijk            i=* j=4* k=*
        state space             bdl,bnl,bdl->bdln      b=1 d=* l=* n=16
    """,
    "matrix-vector": """
        matrix-vector           ij,j->i                i=* j=*
        vector-matrix           ij,i->j                i=* j=*
        short rows              ij,j->i                i=* j=24
        few columns             ij,i->j                i=* j=24
        matrix-vector, batched  bij,bj->bi             b=* i=24 j=24
        vector-matrix, batched  bij,bi->bj             b=* i=24 j=24
        last axis               ijk,k->ij              i=* j=* k=*
        middle axis             ijk,j->ik              i=* j=* k=*
        first axis              ijk,i->jk              i=* j=* k=*
        bilinear form           i,ij,j->               i=* j=*
        bilinear forms          ni,ij,nj->n            n=* i=12 j=12
        decode attention        btkgd,bskd->bkgts      b=1 t=1 k=4 g=4 d=64 s=*
    """,
    "tiny": """
        products 2x2            bij,bjk->bik           b=* i=2 j=2 k=2
        products 3x3            bij,bjk->bik           b=* i=3 j=3 k=3
        products 4x4            bij,bjk->bik           b=* i=4 j=4 k=4
        products 8x8            bij,bjk->bik           b=* i=8 j=8 k=8
        products 16x16          bij,bjk->bik           b=* i=16 j=16 k=16
        complex 3x3             bij,bjk->bik           b=* i=3 j=3 k=3
        plaquette               nij,njk,nlk,nil->n     n=* i=3 j=3 k=3 l=3
        rotated points          ij,nj->ni              n=* i=3 j=3
        transformed points      bij,bj->bi             b=* i=4 j=4
        RGB matrix              hwc,dc->hwd            h=* w=* c=3 d=3
        quadratic forms         ni,ij,nj->n            n=* i=3 j=3
        element matrices        eqi,eqj,eq->eij        e=* q=4 i=3 j=3
    """,
    "permutations": """
        transpose               ij->ji                 i=* j=*
        transpose, batched      bij->bji               b=* i=24 j=24
        channels first          nhwc->nchw             n=* h=8 w=8 c=3
        heads first             bshd->bhsd             b=1 s=* h=4 d=32
        rotated                 ijk->kij               i=* j=* k=*
        reversed                ijk->kji               i=* j=* k=*
        reversed, four axes     abcd->dcba             a=* b=* c=* d=*
        interleaved             abcd->bdac             a=* b=* c=* d=*
    """,
}
"""Few FLOPs a byte. The extents marked with a star grow with the level, `8*` to eight times `*`."""

PRODUCTS = {
    "squares": """
        square 64               ij,jk->ik              i=64 j=64 k=64
        square 128              ij,jk->ik              i=128 j=128 k=128
        square 256              ij,jk->ik              i=256 j=256 k=256
        square 512              ij,jk->ik              i=512 j=512 k=512
        square 1024             ij,jk->ik              i=1024 j=1024 k=1024
        square 2048             ij,jk->ik              i=2048 j=2048 k=2048
    """,
    "oblong": """
        tall                    ij,jk->ik              i=40000 j=64 k=64
        wide                    ij,jk->ik              i=64 j=64 k=40000
        short K                 ij,jk->ik              i=1500 j=8 k=1500
        long K                  ij,jk->ik              i=48 j=60000 k=48
        short N                 ij,jk->ik              i=2000 j=2000 k=6
        short M                 ij,jk->ik              i=6 j=2000 k=2000
    """,
    "transposed": """
        A B 500                 ij,jk->ik              i=500 j=500 k=500
        A B' 500                ij,kj->ik              i=500 j=500 k=500
        A' B 500                ji,jk->ik              i=500 j=500 k=500
        A' B' 500               ji,kj->ik              i=500 j=500 k=500
    """,
    "integers": """
        integers 64             ij,jk->ik              i=64 j=64 k=64
        integers 256            ij,jk->ik              i=256 j=256 k=256
        integers 384            ij,jk->ik              i=384 j=384 k=384
        integers 512            ij,jk->ik              i=512 j=512 k=512
    """,
    "batched": """
        batch first             bij,bjk->bik           b=200 i=64 j=64 k=64
        batch in the middle     ibj,jbk->ibk           b=64 i=96 j=96 k=96
        batch last              ikc,jkc->ijc           i=96 j=96 k=96 c=64
        attention scores        bqhd,bkhd->bhqk        b=2 q=256 k=256 h=8 d=64
        attention values        bhqk,bkhd->bqhd        b=2 q=256 k=256 h=8 d=64
        shared weights          bsd,dhk->bshk          b=2 s=256 d=384 h=6 k=64
    """,
    "chemistry": """
        ladder                  ijab,abcd->ijcd        i=16 j=16 a=28 b=28 c=28 d=28
        ring                    ikac,kbcj->ijab        i=16 j=16 k=16 a=28 b=28 c=28
        doubles                 aebf,dfce->abcd        a=28 b=28 c=28 d=28 e=20 f=20
        triples                 bgfd,caeg->fedcba      a=12 b=12 c=12 d=12 e=12 f=12 g=12
        one index turned        aced,eb->dcba          a=48 b=16 c=40 d=48 e=48
        density fitting         qij,qkl->ijkl          q=160 i=24 j=24 k=24 l=24
        transformed integrals   pqrs,pi->iqrs          p=40 q=40 r=40 s=40 i=24
        Tucker core             ijk,il,jm,kn->lmn      i=96 j=96 k=96 l=32 m=32 n=32
    """,
}
"""Many FLOPs a byte: matrix products, and contractions that are made of them."""

CALLS = {
    "calls": """
        transpose               ij->ji                 i=4 j=4
        diagonal                ii->i                  i=4
        trace                   ii->                   i=4
        total                   ij->                   i=4 j=4
        dot                     i,i->                  i=4
        outer                   i,j->ij                i=4 j=4
        Hadamard                ij,ij->ij              i=4 j=4
        matrix-vector           ij,j->i                i=4 j=4
        product 4x4             ij,jk->ik              i=4 j=4 k=4
        product 8x8             ij,jk->ik              i=8 j=8 k=8
        products 4x4            bij,bjk->bik           b=4 i=4 j=4 k=4
        quadratic forms         ni,ij,nj->n            n=4 i=4 j=4
        bilinear form           i,ij,j->               i=4 j=4
        Tucker core             ijk,il,jm,kn->lmn      i=3 j=3 k=3 l=3 m=3 n=3
    """,
}
"""Operands so small that the price of a call is all there is."""

DTYPES_OF = {
    "reductions": (*NUMBERS, "bool"),
    "elementwise": NUMBERS,
    "matrix-vector": NUMBERS,
    "tiny": NUMBERS,
    "permutations": (*NUMBERS, "bool"),
    "integers": INTEGERS,
    "calls": ("float64", "float32"),
}
"""What the cases of a group are taken in; of other groups, in floats of each kind."""

DTYPES_OF_CASE = {
    "complex 3x3": ("complex64", "complex128"),
    "plaquette": ("complex64", "complex128"),
    "rotated points": REALS,
    "RGB matrix": REALS,
    "element matrices": REALS,
}
"""The cases that are taken in other dtypes than their group."""


def _read(suite: str, tables: Mapping[str, str]) -> Iterator[Case]:
    for group, table in tables.items():
        for line in table.strip().splitlines():
            name, equation, extents = re.split(" {2,}", line.strip())
            yield Case(
                suite,
                group,
                name,
                equation,
                DTYPES_OF_CASE.get(name) or DTYPES_OF.get(group, FLOATS),
                {letter: _extent(text) for letter, text in _pairs(extents)},
                copied=group == "permutations",
            )


def _pairs(extents: str) -> Iterator[tuple[str, str]]:
    for pair in extents.split():
        letter, _, text = pair.partition("=")
        yield letter, text


def _extent(text: str) -> float:
    """An extent, or where it grows its weight as a float."""
    return float(text[:-1] or 1) if text.endswith("*") else int(text)


CASES = (
    *_read("bandwidth", BANDWIDTH),
    *_read("products", PRODUCTS),
    *_read("calls", CALLS),
)


def points(
    suites: Sequence[str],
    footprints: Mapping[str, int],
    *,
    only: str = "",
    dtypes: Sequence[str] = (),
    levels: Sequence[str] = (),
) -> list[Point]:
    """The cases of the suites whose name or equation contains `only`.

    Each is taken at every dtype and level asked for. Where none are asked for it is taken at one,
    and the next case of the suite at the next one: a sample of the grid.
    """
    there = [level for level in LEVELS if level in footprints]
    found = []
    for suite in suites:
        for number, case in enumerate(case for case in CASES if case.suite == suite):
            if only in case.name or only in case.equation:
                # one place further once all pairs that this step meets are done
                turn = number + number // math.lcm(len(there), len(case.dtypes))
                sizes = [footprints[level] for level in _chosen(there, levels, number)]
                chosen = _chosen(case.dtypes, dtypes, 0 if suite == "calls" else turn)
                found += [case.at(dtype, size) for dtype in chosen for size in _grown(case, sizes)]
    return found


def _chosen(own: Sequence[str], asked: Sequence[str], turn: int) -> list[str]:
    """Those asked for, or the one whose turn it is."""
    return [one for one in own if one in asked] if asked else [own[turn % len(own)]]


def _grown(case: Case, footprints: list[int]) -> list[int]:
    """The footprints that a case is taken at: one, and of any size, where its extents are given."""
    grows = any(isinstance(extent, float) for extent in case.extents.values())
    return footprints if grows else [0]
