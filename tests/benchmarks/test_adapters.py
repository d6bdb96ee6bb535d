"""The benchmark of the adapters runs, without its peers and with them. Speed is not asserted."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from frameworks.adapters import is_installed
from redis_server import find_binary, require
from runs.benchmarks import run

from benchmarks.adapters.catalogue import PAIRS, Pair
from benchmarks.harness.server import Server
from benchmarks.peers.process import PeerProcess


@pytest.mark.slow
def test_without_the_frameworks_nothing_is_measured(tmp_path: Path) -> None:
    there = tmp_path / "report.json"
    arguments = ("--quick", "--without-peers", "--directory", str(tmp_path), "--json", str(there))
    done = run("-m", "benchmarks", "--only", "adapters", *arguments)
    assert done.returncode == 0, done.stderr
    assert json.loads(there.read_bytes())["rows"] == []


@pytest.mark.asyncio
@pytest.mark.slow
@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: f"{pair.framework}-{pair.store}")
async def test_our_side_makes_its_calls(pair: Pair, tmp_path: Path) -> None:
    framework = {"openai-agents": "agents", "google-adk": "google.adk"}.get(pair.framework, pair.framework)
    if not is_installed(framework):
        pytest.skip(f"{framework} is not installed")
    with Server(require(find_binary())) as server:
        settings: dict[str, Any] = {
            "store": pair.store,
            "backend": pair.backend,
            "port": server.port,
            "connections": 10,
            "directory": str(tmp_path),
        }
        ours = await PeerProcess.start(pair.ours, Path(sys.executable), loop="asyncio", side="ours", **settings)
        try:
            await ours.fill(5, "." * 100)
            for operation in pair.ours.calls:
                [contestant] = ours.contestants(operation, None)
                sample = await contestant.run([*range(5)])
                assert sample is not None
                assert sample.calls == 5
        finally:
            await ours.stop()
