"""Two processes that write one thread of langgraph; one is stopped in its step."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from greentic_session import RedisUrlWithNamespace, TenantCtx

pytest.importorskip("langgraph", reason="install the extra: python -m pip install 'greentic-session[langgraph]'")
from greentic_session.integrations.langgraph import SessionSaver  # it needs the framework

WRITER = Path(__file__).with_name("graph_writer.py")
ROOT = WRITER.parent.parent.parent
PATIENCE_S = 120


def begin(url: str, namespace: str, how: str, shape: str) -> "subprocess.Popen[str]":
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [sys.executable, WRITER, url, namespace, how, shape], env=environment, stdout=subprocess.PIPE, text=True, cwd=ROOT
    )


@pytest.mark.slow
@pytest.mark.parametrize("shape", ["flat", "nested"])
def test_a_writer_that_was_stopped_in_its_step_is_refused(url: str, namespace: str, shape: str) -> None:
    if url == "memory://":
        pytest.skip("memory is of one process")
    namespace = namespace if url.startswith("redis") else ""
    with begin(url, namespace, "stop", shape) as first:
        try:
            _, status = os.waitpid(first.pid, os.WUNTRACED)
            assert os.WIFSTOPPED(status)
            with begin(url, namespace, "go", shape) as second:
                assert second.communicate(timeout=PATIENCE_S)[0].split() == ["begun", "second"]
            before = stored(url, namespace)
            os.kill(first.pid, signal.SIGCONT)
            assert first.communicate(timeout=PATIENCE_S)[0].split() == ["refused"]
            assert stored(url, namespace) == before
            assert before[0].checkpoint["channel_values"]["said"] == ["begun", "second"]
        finally:
            first.kill()


def stored(url: str, namespace: str) -> list[Any]:
    """Return all checkpoints of the thread, the latest first."""
    config = RedisUrlWithNamespace(url, namespace) if namespace else url
    with SessionSaver.open(config, TenantCtx.new("dev", "acme")) as saver:
        return list(saver.list({"configurable": {"thread_id": "t1"}}))
