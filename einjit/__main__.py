"""The command line: `python -m einjit`, and the script `einjit`."""

import argparse
import json
import os
import platform
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

import einjit
from einjit.bench.command import add_bench
from einjit.errors import EinjitError
from einjit.explanation import explain
from einjit.kernel.cache import disk
from einjit.settings import settings
from einjit.source.elements import ELEMENTS
from einjit.thread_count import get_num_threads

SCALAR = "()"
"""The shape of a scalar, as it is written in --shapes."""

OPTIMIZE = {"auto": "auto", "false": False, "true": True, "greedy": "greedy", "optimal": "optimal"}


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; the exit code is 2 where its arguments are wrong."""
    arguments = _parser().parse_args(argv)
    try:
        facts, text = arguments.run(arguments)
    except EinjitError as error:
        print(f"einjit: {error}", file=sys.stderr)
        return 2
    try:
        print(json.dumps(facts, indent=2) if arguments.json else text, flush=True)
        return int(bool(facts.get("failed") or facts.get("damaged")))
    except BrokenPipeError:  # its reader, `head` say, has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _parser() -> argparse.ArgumentParser:
    description = "np.einsum on generated, compiled loop nests."
    parser = argparse.ArgumentParser("einjit", description=description)
    parser.add_argument("--version", action="version", version=f"einjit {einjit.__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for add in (_add_explain, _add_warmup, _add_cache, add_bench, _add_info):
        command = add(commands)
        command.add_argument("--json", action="store_true", help="print JSON")
    return parser


# ---------------------------------------------------------------- explain


def _add_explain(commands: Any) -> argparse.ArgumentParser:
    command: argparse.ArgumentParser = commands.add_parser(
        "explain",
        help="how an equation is contracted, and its generated source",
        description="Show the plan of an equation, the reasons for it, and the generated source.",
        epilog="example: einjit explain 'ij,jk->ik' --shapes 100x200,200x50",
    )
    command.add_argument("subscripts", metavar="SUBSCRIPTS", help="as in 'ij,jk->ik'")
    command.add_argument(
        "--shapes",
        type=_shapes,
        required=True,
        help=f"of each operand, as in 100x200,200x50; a scalar's is {SCALAR}, as in '{SCALAR},3x4'",
    )
    command.add_argument(
        "--dtype",
        choices=ELEMENTS,
        default="float64",
        metavar="DTYPE",
        help="of the operands (default: %(default)s)",
    )
    command.add_argument(
        "--optimize", choices=OPTIMIZE, default="auto", help="as einsum's (default: %(default)s)"
    )
    command.set_defaults(run=_explain)
    return command


def _shapes(text: str) -> list[tuple[int, ...]]:
    """The shapes written as 2x3,3x4: a comma between operands, an x between extents."""
    shapes: list[tuple[int, ...]] = []
    for part in text.replace(" ", "").split(","):
        extents = [] if part == SCALAR else part.split("x")
        if not all(extent.isascii() and extent.isdigit() for extent in extents):
            raise argparse.ArgumentTypeError(f"{part!r} is no shape such as 2x3 or {SCALAR}")
        shapes.append(tuple(map(int, extents)))
    return shapes


def _explain(arguments: argparse.Namespace) -> tuple[dict[str, Any], str]:
    found = explain(
        arguments.subscripts,
        *arguments.shapes,
        dtype=arguments.dtype,
        optimize=OPTIMIZE[arguments.optimize],
    )
    return found.to_dict(), found.text


# ---------------------------------------------------------------- warmup


def _add_warmup(commands: Any) -> argparse.ArgumentParser:
    command: argparse.ArgumentParser = commands.add_parser(
        "warmup",
        help="compile ahead what a profile recorded, equations, or the usual forms",
        description="Compile kernels ahead, so that later processes find them in the cache.",
        epilog="example: einjit warmup profile.json",
    )
    command.add_argument(
        "what", nargs="+", metavar="WHAT", help="a profile's path, 'common', or equations"
    )
    command.add_argument(
        "--dtype", action="append", choices=ELEMENTS, metavar="DTYPE", help="of equations"
    )
    command.set_defaults(run=_warmup)
    return command


def _warmup(arguments: argparse.Namespace) -> tuple[dict[str, Any], str]:
    one = arguments.what[0] if len(arguments.what) == 1 else None
    listed = one is None or not (one == "common" or os.path.exists(one))
    report = einjit.warmup(arguments.what if listed else one, dtype=arguments.dtype)
    return asdict(report), str(report)


# ---------------------------------------------------------------- cache


def _add_cache(commands: Any) -> argparse.ArgumentParser:
    command: argparse.ArgumentParser = commands.add_parser(
        "cache",
        help="the kernels on disk",
        description="list, verify, prune or clear the kernels on disk, or show their folder.",
    )
    command.add_argument("action", choices=CACHE_ACTIONS)
    command.set_defaults(run=_cache)
    return command


def _cache(arguments: argparse.Namespace) -> tuple[dict[str, Any], str]:
    facts = CACHE_ACTIONS[arguments.action]()
    return facts, "\n".join(
        f"{name}  {value}" for name, value in facts.items() if not isinstance(value, dict)
    ) or "\n".join(f"{name[:16]}  {text}" for name, text in facts["files"].items())


def _cache_list() -> dict[str, Any]:
    files = {}
    for path, entry in disk().entries():
        facts = {} if entry is None else {**entry.facts, **entry.key}
        what = facts.get("nest") or facts.get("name") or facts.get("module")
        dtypes = ", ".join(facts.get("dtypes", ()))
        files[path.name] = f"{facts.get('kind', 'damaged'):6}  {what or ''}  {dtypes}".rstrip()
    return {"files": files}


def _cache_verify() -> dict[str, Any]:
    found = list(disk().entries())
    bad = [path.name for path, entry in found if entry is None]
    return {"in order": len(found) - len(bad), "damaged": len(bad), **dict.fromkeys(bad, "damaged")}


CACHE_ACTIONS: dict[str, Callable[[], dict[str, Any]]] = {
    "list": _cache_list,
    "verify": _cache_verify,
    "prune": lambda: {"removed": disk().prune()},
    "clear": lambda: {"removed": disk().clear()},
    "dir": lambda: {"folder": str(disk().opened)},
}


# ---------------------------------------------------------------- info


def _add_info(commands: Any) -> argparse.ArgumentParser:
    text = "versions, CPU, threads and settings"
    command: argparse.ArgumentParser = commands.add_parser(
        "info", help=text, description=f"Show {text}."
    )
    command.set_defaults(run=_info)
    return command


def _info(arguments: argparse.Namespace) -> tuple[dict[str, Any], str]:
    import llvmlite.binding
    import numba
    import numpy

    numba.get_num_threads()  # launches them: the layer is known from then on
    facts = {
        "einjit": einjit.__version__,
        "python": platform.python_version(),
        "numpy": numpy.__version__,
        "numba": numba.__version__,
        "llvmlite": llvmlite.__version__,
        "machine": platform.machine(),
        "cpu": llvmlite.binding.get_host_cpu_name(),
        "threads": get_num_threads(),
        "threading_layer": numba.threading_layer(),
        **asdict(settings),
        "numba_settings": " ".join(map("=".join, settings.numba_settings)) or None,
        "cache_dir": str(disk().opened),
    }
    return facts, "\n".join(f"{name:<15}  {value}" for name, value in facts.items())


if __name__ == "__main__":
    sys.exit(main())
