"""Peers of a run: the options that choose them, and the processes that were started."""

import argparse
import sys
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from .catalogue import Peer
from .environment import CannotInstallError, default_folder, python_of
from .process import PeerFailedError, PeerProcess

__all__ = ["Lineup", "add_peer_options"]


def add_peer_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--without-peers", action="store_true", help="leave the other libraries out")
    parser.add_argument(
        "--peers-dir",
        metavar="DIR",
        type=Path,
        default=default_folder(),
        help="directory of their environments (default: in the user's cache)",
    )


class Lineup:
    """Peers that take part in a run, and those that could not be measured.

    Attributes:
        versions: Installed versions by peer, for the report.
    """

    def __init__(self, options: argparse.Namespace) -> None:
        self.versions: dict[str, str] = {}
        self._without_peers: bool = options.without_peers
        self._folder: Path = options.peers_dir
        self._dropped: list[str] = []

    async def start(
        self, stack: AsyncExitStack, peer: Peer, *, loop: str, environment: Mapping[str, str] | None = None, **settings: Any
    ) -> PeerProcess | None:
        """Start a peer that stops with `stack`; None where it cannot, or without peers.

        Args:
            stack: Stack that stops the process.
            peer: Peer to start.
            loop: Event loop of the process.
            environment: Environment variables, besides those of this process.
            settings: Arguments of its adapter.
        """
        if self._without_peers:
            return None
        print(f"{peer.name}: looking for its environment in {self._folder}", file=sys.stderr)
        try:
            python = python_of(peer, self._folder)
            process = await PeerProcess.start(peer, python, loop=loop, environment=environment, **settings)
        except CannotInstallError as error:
            self._dropped.append(f"{peer.name} (cannot be installed: {error})")
            return None
        except PeerFailedError as error:
            self.drop(error)
            return None
        stack.push_async_callback(process.stop)
        self.versions[f"peer {peer.name}"] = " ".join(f"{name} {version}" for name, version in process.versions.items())
        return process

    def drop(self, error: PeerFailedError) -> None:
        """Note that a peer failed; the run goes on without it."""
        self._dropped.append(f"{error.peer.name} (failed: {error})")

    def findings(self) -> dict[str, list[str]]:
        """Return the peers that could not be measured, for the report."""
        return {"peers that could not be measured": self._dropped}
