"""Benchmark of the in-memory store: ``python -m benchmarks.memory``; ``--help`` lists the options.

Calls with a snapshot of 4 KiB beside aiogram's `MemoryStorage` (`calls`), scaling to a million
waits beside a bare dict (`scaling`), memory of a wait (`footprint`), and the import (`processes`).
"""

import argparse
import asyncio
import sys

from benchmarks.harness.command import Outcome, make_parser, publish
from benchmarks.harness.report import Row
from benchmarks.harness.sizes import Sizes, usual

from .calls import measure_calls
from .peer import Peer
from .processes import measure_footprint, measure_import
from .scaling import WAITS_PER_USER, measure_scaling

__all__ = ["main", "parse_arguments"]

_FOOTPRINT_TTL_S = 3600.0
_NOTES = [
    "Ratios of calls and slowdowns are medians of the rounds' ratios; the import's is that of the two medians.",
    "The targets for register_wait are for the one without a TTL: aiogram's MemoryStorage has no lifetimes.",
    "Parking again is measured twice: with all users, and (four times the rounds) with so few that the caches hold them.",
    "aiogram's data is a dict with one item, the snapshot's text: no dict is cheaper to copy.",
]
_MISSING = "aiogram is needed to measure against: python -m pip install -e '.[bench]' (or leave it out: --without-peers)"


class _Sizes(Sizes):
    """Sizes of a run.

    Attributes:
        users: Number of users of the calls beside aiogram.
        rounds: Number of rounds of these calls that count.
        block: Number of these calls in a turn.
        few: Number of waits in the small store of the scaling.
        many: Number of waits in its large store.
        lookups: Number of its calls of a contestant in a round.
        scaling_rounds: Number of its rounds that count.
        scaling_block: Number of its calls in a turn.
        import_runs: Number of processes that import the package.
    """

    users: int = usual(1000, quick=100)
    rounds: int = usual(101, quick=3)
    block: int = 50
    few: int = 1000
    many: int = usual(1_000_000, quick=10_000)
    lookups: int = usual(5000, quick=500)
    scaling_rounds: int = usual(31, quick=3)
    scaling_block: int = 500
    import_runs: int = usual(20, quick=3)


def parse_arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = make_parser("benchmarks.memory", "Benchmark of the in-memory store.", few="rounds and waits", rounds=None)
    parser.add_argument("--without-peers", action="store_true", help="leave aiogram out")
    return parser.parse_args(argv)


async def _measure(sizes: _Sizes, peer: Peer | None, seed: int) -> list[Row]:
    calls = await measure_calls(peer=peer, users=sizes.users, rounds=sizes.rounds, block=sizes.block, seed=seed)
    return calls + await measure_scaling(
        few=sizes.few,
        many=sizes.many,
        lookups=sizes.lookups,
        rounds=sizes.scaling_rounds,
        block=sizes.scaling_block,
        seed=seed,
    )


async def _make_peer(users: int) -> Peer:
    from .aiogram_storage import make_peer  # noqa: PLC0415  # aiogram is needed for this comparison only

    return await make_peer(users)


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark, and return the exit code."""
    options = parse_arguments(argv)
    sizes = _Sizes.chosen(options)
    try:
        peer = None if options.without_peers else asyncio.run(_make_peer(sizes.users))
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "aiogram":
            raise
        print(_MISSING, file=sys.stderr)
        return 2
    # New processes first: this process is still small then.
    imports, extra = measure_import(runs=sizes.import_runs)
    footprint, method = measure_footprint(waits=sizes.many, users=sizes.many // WAITS_PER_USER, ttl=_FOOTPRINT_TTL_S)
    measured = asyncio.run(_measure(sizes, peer, options.seed))
    finding = "modules that import greentic_session loads beyond asyncio, msgspec, anyio and the standard library"
    outcome = Outcome(
        rows=measured + footprint + imports,
        settings=sizes.as_settings(),
        notes=[*_NOTES, f"The memory of a wait does not include the snapshot's text. It is the {method}."],
        distributions=("msgspec", "anyio", "aiogram"),
        findings={finding: extra},
    )
    publish(options, outcome)
    return 0


if __name__ == "__main__":
    sys.exit(main())
