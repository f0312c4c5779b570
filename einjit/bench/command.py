"""The command: its arguments, and which run they ask for."""

import argparse
import functools
import sys
from collections.abc import Callable, Sequence
from typing import Any

from einjit.bench.engines import PEERS
from einjit.bench.levels import LEVELS, footprints
from einjit.bench.suites import DTYPES, SUITES, points
from einjit.errors import OptionError

ALL = "all"

DESCRIPTION = """\
Time einjit beside the other engines that are installed, each in a process of its own, and beside
the limits of this machine, which are measured first. Without --dtype and --level each case is
taken once, the dtypes and levels of memory in turn: a sample of the grid, a few minutes long."""

EPILOG = """\
`ratio` is the best peer's time over einjit's, `share` the limit over einjit's time. Times are
medians of calls that allocate their results. With --cold and --calls, --only and --peers choose as
well."""


def add_bench(commands: Any) -> argparse.ArgumentParser:
    """Add the command `bench` to those of einjit."""
    command: argparse.ArgumentParser = commands.add_parser(
        "bench",
        help="einjit beside other engines and the limits of this machine",
        description=DESCRIPTION,
        epilog=EPILOG,
    )
    what = command.add_mutually_exclusive_group()
    what.add_argument(
        "--suite", choices=(*SUITES, ALL), default=ALL, help="cases to run (default: %(default)s)"
    )
    what.add_argument(
        "--calls", action="store_true", help="the price of a call, on operands of a few elements"
    )
    what.add_argument(
        "--cold", action="store_true", help="first calls, with and without kernels on disk"
    )
    command.add_argument(
        "--only", default="", metavar="TEXT", help="cases with this in their name or equation"
    )
    for name, own in (("dtype", DTYPES), ("level", LEVELS)):
        command.add_argument(
            f"--{name}",
            type=functools.partial(_listed, (*own, ALL)),
            default=(),
            metavar=f"{name.upper()},...",
            help=f"of {', '.join(own)}, or {ALL}",
        )
    command.add_argument(
        "--peers",
        type=functools.partial(_listed, PEERS),
        default=PEERS,
        metavar="PEER,...",
        help=f"engines to compare with, of {', '.join(PEERS)} (default: those installed)",
    )
    command.add_argument(
        "--rounds",
        type=_positive(int),
        default=3,
        help="turns of each engine (default: %(default)s)",
    )
    command.add_argument(
        "--seconds",
        type=_positive(float),
        default=0.7,
        help="for the calls of a case, of all engines together (default: %(default)s)",
    )
    command.set_defaults(run=_bench)
    return command


def _listed(own: Sequence[str], text: str) -> tuple[str, ...]:
    """Names with commas between them; each must be one of `own`, where "all" stands for all."""
    names = tuple(text.replace(" ", "").split(","))
    for name in names:
        if name not in own:
            raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(own)}")
    return tuple(own) if ALL in names else names


def _positive(kind: Callable[[str], Any]) -> Callable[[str], Any]:
    def number(text: str) -> Any:
        found = kind(text)
        if not found > 0:
            raise argparse.ArgumentTypeError(f"{text} is not above 0")
        return found

    return number


def _bench(arguments: argparse.Namespace) -> tuple[dict[str, Any], str]:
    """Lines go out as they come; with --json they tell of the progress, on stderr."""
    from einjit.bench.cold import cold_start
    from einjit.bench.run import compare, price_calls

    show = functools.partial(print, file=sys.stderr if arguments.json else sys.stdout, flush=True)
    if arguments.cold:
        return cold_start(arguments.only, arguments.peers, arguments.rounds, show)
    suites = SUITES if arguments.suite == ALL else (arguments.suite,)
    found = points(
        ("calls",) if arguments.calls else suites,
        footprints(),
        only=arguments.only,
        dtypes=arguments.dtype,
        levels=arguments.level,
    )
    if not found:
        raise OptionError("no case is of that name, dtype and level")
    run = price_calls if arguments.calls else compare
    return run(found, arguments.peers, arguments.rounds, arguments.seconds, show)
