"""numpy's own tests of einsum, run on einjit: 78, none skipped.

They are read from the installed numpy, with a namespace in place of its `np` in which `einsum` and
`einsum_path` are einjit's; each is collected here under its own name.
"""

import importlib.util
from collections import Counter
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import einjit

SOURCE = Path(importlib.util.find_spec("numpy._core.tests.test_einsum").origin)
IMPORT = "import numpy as np\n"
COUNT = {"2.4": 78}  # by numpy's version

calls = Counter()


def counted(function):
    """The function, counting its calls in `calls`."""

    def call(*args, **options):
        calls[function.__name__] += 1
        return function(*args, **options)

    call.__name__ = function.__name__  # it names a parametrised test
    return call


class Numpy:
    """numpy, but for two functions."""

    einsum = staticmethod(counted(einjit.einsum))
    einsum_path = staticmethod(counted(einjit.einsum_path))

    def __getattr__(self, name):
        return getattr(np, name)


def load():
    """numpy's test module, its `np` replaced from the first line on."""
    source = SOURCE.read_text()
    assert source.count(IMPORT) == 1
    assert "skip" not in source
    module = ModuleType("numpys_test_einsum")
    module.np = Numpy()
    # An empty line for the import, so that tracebacks show the right ones.
    exec(compile(source.replace(IMPORT, "\n"), str(SOURCE), "exec"), vars(module))
    return module


numpys = load()
globals().update({name: made for name, made in vars(numpys).items() if name[:4].lower() == "test"})


def is_theirs(item):
    return item.function.__globals__ is vars(numpys)


@pytest.fixture(autouse=True)
def _einjit_is_what_they_call(request):
    before = calls.total()
    yield
    assert not is_theirs(request.node) or calls.total() > before


def test_every_test_of_numpys_is_collected(request):
    module = request.node.getparent(pytest.Module)
    theirs = [item for item in request.session.genitems(module) if is_theirs(item)]
    version = ".".join(np.__version__.split(".")[:2])
    assert len(theirs) == COUNT.get(version, len(theirs))
    assert len({item.originalname for item in theirs}) == SOURCE.read_text().count("def test_")
    assert not any(
        mark.name.startswith(("skip", "xfail")) for i in theirs for mark in i.iter_markers()
    )
