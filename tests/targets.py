"""Other CPUs than this one: what contractions are blocked for, so that plans are the same anywhere
and small operands reach every part."""

import math
import sys
from contextlib import contextmanager

import numpy as np
import pytest

from einjit import target
from einjit.names import index_name
from einjit.plan import blocking, packing
from einjit.registry import registry

MODULES = (target, *(m for name, m in sys.modules.items() if name.startswith("einjit.plan.")))
"""Those that ask for them."""

WIDE = {"vector_bytes": 64, "vector_registers": 32}
"""A CPU of wide vectors and many registers, for tests that count them."""

OVERRUN = 3 * 64
"""Bytes behind the last box that vectors of a short row's end are read from."""


@contextmanager
def blocked_for(
    caches=None,
    last_cache=None,
    vector_bytes=None,
    vector_registers=None,
    cores=None,
    page=packing.PAGE,
):
    """For as long as the context lasts, contractions are planned for a CPU of these facts, all of
    them this one's where they are not given; where caches are, boxes are no taller than fit them.

    Kernels run here whatever they are planned for: LLVM takes wider vectors apart.
    """
    facts = {
        "caches": caches,
        "last_cache": last_cache,
        "vector_bytes": vector_bytes,
        "vector_registers": vector_registers,
        "cores": cores,
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packing, "PAGE", page)
        if caches:
            patch.setattr(blocking, "TALL", 0)
            patch.setattr(packing, "KEPT_ROWS", 0)
        for name, value in facts.items():
            if value is not None:
                for module in MODULES:
                    if hasattr(module, name):
                        patch.setattr(module, name, lambda value=value: value)
        registry.forget_calls()
        try:
            yield
        finally:
            registry.forget_calls()


def scratch_bytes(nest, sizes):
    """Bytes of scratch memory that a packed contraction of these sizes uses."""
    named = dict(zip(nest.sizes(), sizes, strict=True))
    if nest.direct:
        return named["to_c"] + OVERRUN

    def box(group):
        return math.prod(named[f"box_{index_name(i)}"] for i in group)

    item = np.dtype(nest.compute).itemsize
    lines = -(-box(nest.group_n) * item // 64) | 1  # of a row, in an odd number of them
    rows = box(nest.group_s) * box(nest.group_m)
    rows *= named["per_tile"] if named["held"] else 1
    return named["to_c"] + rows * lines * 64 + OVERRUN
