"""What the in-memory store costs: ``python -m benchmarks.memory``; ``--help`` lists the options.

- Calls: one call with a 4 KiB snapshot, beside aiogram's `MemoryStorage` on the same payload (`_calls`, `_aiogram_memory`).
- Memory: what each of a million waits takes beyond the snapshot's text, in a fresh process (`_footprint`).
- Scaling: how `find_wait` slows from a thousand waits to a million, beside a bare dict (`_scale`).
- Import: what ``import greentic_session`` costs beside the imports that it cannot do without (`_processes`).

Contestants run in turns, a short block of calls at a time, in one process (`_measure.interleave`). The table holds medians
over the rounds; a ratio is the median of the rounds' ratios. A missed target is told, and is no failure of the run.
"""

import argparse
import asyncio
import sys
from dataclasses import asdict, dataclass

from benchmarks.harness.command import QUICK, make_parser
from benchmarks.harness.report import Report, Row, machine

from .calls import Peer, measure_calls
from .processes import measure_footprint, measure_import
from .scaling import WAITS_A_USER, measure_scaling

__all__ = ["main"]

NOTES = [
    "Ratios of calls and slowdowns are medians of the rounds' ratios; the import's is that of the two medians.",
    "The targets for register_wait are for the one without a TTL: aiogram's MemoryStorage knows no expiry.",
    "Parking again is measured twice: with all users, and (four times the rounds) with so few that the caches hold them.",
    "aiogram's data is a dict with one item, the snapshot's text: no dict is cheaper to copy.",
]
WITHOUT_PEERS = "Measured without aiogram: what is held against it has no ratio."
MISSING = "aiogram is needed to measure against: python -m pip install -e '.[bench]' (or leave it out: --without-peers)"


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How much is measured."""

    users: int = 1000
    rounds: int = 101
    block: int = 50
    few: int = 1000
    many: int = 1_000_000
    lookups: int = 5000
    scaling_rounds: int = 31
    scaling_block: int = 500
    import_runs: int = 20


QUICKLY = Sizes(users=100, rounds=3, many=10_000, lookups=500, scaling_rounds=3, import_runs=3)


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = make_parser("benchmarks.memory", "What the in-memory store costs.", few="rounds and waits", rounds=None)
    parser.add_argument("--without-peers", action="store_true", help="leave aiogram out")
    return parser.parse_args(argv)


async def _measure(sizes: Sizes, peer: Peer | None, seed: int) -> list[Row]:
    calls = await measure_calls(peer=peer, users=sizes.users, rounds=sizes.rounds, block=sizes.block, seed=seed)
    return calls + await measure_scaling(
        few=sizes.few,
        many=sizes.many,
        lookups=sizes.lookups,
        rounds=sizes.scaling_rounds,
        block=sizes.scaling_block,
        seed=seed,
    )


async def _peer(users: int) -> Peer:
    from .aiogram_storage import aiogram  # noqa: PLC0415  # only who measures against it needs it

    return await aiogram(users)


def main(argv: list[str] | None = None) -> int:
    """Measure, print, and return the exit code."""
    options = _arguments(argv)
    sizes = QUICKLY if options.quick else Sizes()
    try:
        peer = None if options.without_peers else asyncio.run(_peer(sizes.users))
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "aiogram":
            raise
        print(MISSING, file=sys.stderr)
        return 2
    # First what runs in other processes: this one is small then, and has nothing to do.
    imports, extra = measure_import(runs=sizes.import_runs)
    footprint, counted = measure_footprint(waits=sizes.many, users=sizes.many // WAITS_A_USER, ttl=3600.0)
    measured = asyncio.run(_measure(sizes, peer, options.seed))
    report = Report(
        machine=machine("msgspec", "anyio", "aiogram"),
        settings={**asdict(sizes), "seed": options.seed, "quick": options.quick, "peers": peer is not None},
        rows=measured + footprint + imports,
        findings={
            "modules that import greentic_session brings beyond asyncio, msgspec, anyio and the standard library": extra
        },
        notes=[*NOTES, f"The memory of a wait is that beyond the snapshot's text, counted as: {counted}."]
        + [QUICK] * options.quick
        + [WITHOUT_PEERS] * (peer is None),
    )
    report.hand_out(options.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
