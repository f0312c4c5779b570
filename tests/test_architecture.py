"""The rooms of the package: imports go one way, numba is loaded late and called in one place."""

import ast
import fnmatch
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "einjit"

ROOMS = (
    # the ground floor
    *("errors", "settings", "names", "target", "thread_count"),
    # the way of the data
    *("equation", "plan", "source", "kernel", "registry"),
    # what stands on it
    *(
        "generated",
        "request",
        "explanation",
        "profile",
        "api",
        "warming",
        "__init__",
        "bench",
        "__main__",
    ),
)
"""A module imports from its own room and from those before it, wherever the import stands."""

LAZY = {
    ("registry", "kernel"): "llvmlite is loaded by the first call, not by `import einjit`",
    (
        "source",
        "source",
    ): "a process that only multiplies matrices does not wait for the other writers",
    ("kernel", "kernel"): "numba is loaded by the first compilation: what is cached needs none",
    ("bench", "bench"): "limits are measured with llvmlite, which other commands do not wait for",
}
"""Imports inside functions, of rooms: each with its reason."""

HEAVY = {"numba", "llvmlite", "opt_einsum"}
TOP = {
    *("pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md"),
    *("einjit", "tests", "examples", "notebooks"),
}
MOST_LINES = 400
JAX_COMPILES = {"einjit.bench.engines"}  # jax.jit, of a peer
COMPILING = {"compile_extra", "njit", "jit", "cfunc", "vectorize", "guvectorize", "stencil"}


def module_name(path):
    """As written in an import: einjit, einjit.kernel.build; a package is its __init__."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}
TREES = {name: ast.parse(path.read_text()) for name, path in FILES.items()}


def room(module):
    return module.split(".")[1] if "." in module else "__init__"


def imports(tree, inside=False):
    """(module, whether the import stands in a function) of every import below a node."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, inside) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                # `from einjit import registry` is the object, which the package gives
                is_module = inner in FILES and node.module != "einjit"
                yield (inner if is_module else node.module), inside
        else:
            deeper = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            yield from imports(node, inside or deeper)


IMPORTS = {name: set(imports(tree)) for name, tree in TREES.items()}


def own(module):
    """What a module imports of this package."""
    return {target for target, _ in IMPORTS[module] if target.split(".")[0] == "einjit"}


def used_names(tree):
    """Names that are imported, called or reached as an attribute."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.alias):
            yield node.name.rpartition(".")[2]


def test_every_module_has_a_room_and_every_room_a_module():
    assert {room(name) for name in FILES} == set(ROOMS)


@pytest.mark.parametrize("module", FILES)
def test_imports_go_one_way(module):
    assert own(module) <= FILES.keys()
    here = ROOMS.index(room(module))
    assert {target for target in own(module) if ROOMS.index(room(target)) > here} == set()


def test_within_a_room_too():
    order = list(TopologicalSorter({name: own(name) for name in FILES}).static_order())
    assert set(order) == FILES.keys()  # a cycle has no order: CycleError


def test_imports_inside_functions_are_the_known_ones():
    found = {
        (room(module), room(target))
        for module in FILES
        for target, inside in IMPORTS[module]
        if inside and target.split(".")[0] == "einjit"
    }
    assert found == LAZY.keys()


def test_only_kernels_and_limits_import_numba_or_llvmlite_when_they_are_imported():
    early = {
        room(module)
        for module in FILES
        for target, inside in IMPORTS[module]
        if target.split(".")[0] in HEAVY and not inside
    }
    assert early == {"kernel", "bench"}


@pytest.mark.parametrize("module", ["einjit", "einjit.__main__"])
def test_import_loads_nothing_heavy(module):
    code = f"import sys, {module}; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    loaded = set(done.stdout.split())
    assert "einjit.api" in loaded
    assert not HEAVY & loaded


def test_what_calls_the_compiler():
    compiling = {name for name, tree in TREES.items() if COMPILING & set(used_names(tree))}
    assert compiling - JAX_COMPILES == {"einjit.kernel.compile", "einjit.kernel.context"}


def test_only_kernels_write_intrinsics():
    writing = {room(name) for name, tree in TREES.items() if "intrinsic" in used_names(tree)}
    assert writing == {"kernel"}


def test_the_top_level_is_what_it_should_be():
    ignored = (ROOT / ".gitignore").read_text().replace("/\n", "\n").split()
    found = {
        path.name
        for path in ROOT.iterdir()
        if not path.name.startswith(".")
        and not any(fnmatch.fnmatch(path.name, pattern) for pattern in ignored)
    }
    assert found == TOP


def test_no_file_is_too_long():
    lines = {name: path.read_text().count("\n") for name, path in FILES.items()}
    assert {name: n for name, n in lines.items() if n > MOST_LINES} == {}


def test_no_file_is_called_utils():
    assert not [name for name in FILES if name.rpartition(".")[2].startswith(("util", "helper"))]
