"""Contestants of a peer in memory, beside ours."""

from dataclasses import dataclass

from benchmarks.harness.measuring import Contestant

__all__ = ["Peer"]


@dataclass(frozen=True)
class Peer:
    """Contestants of a peer.

    Attributes:
        read: Reads what is stored.
        write_new: Writes every user for the first time.
        write_again: Writes users that are stored.
    """

    read: Contestant
    write_new: Contestant
    write_again: Contestant
