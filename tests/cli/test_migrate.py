"""``migrate``: what it says, and that it may be interrupted."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
from cluster_servers import Cluster
from paths import ROOT
from redis_server import Server
from runs.cli import Cli, fill, in_redis

from greentic_session import SessionStore, create_session_store


@pytest.fixture
def target() -> Iterator[Server]:
    with Server("--requirepass", "sesame") as server:
        yield server


@pytest.fixture
def cli(redis_url: str, namespace: str, capsys: pytest.CaptureFixture[str]) -> Cli:
    in_redis(redis_url, namespace, fill)
    return Cli(capsys, "--namespace", namespace)


def url_of(server: Server) -> str:
    return f"redis://:sesame@127.0.0.1:{server.port}"


def test_it_says_what_it_did(cli: Cli, redis_url: str, target: Server) -> None:
    code, out, err = cli("migrate", redis_url, url_of(target))
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "sessions       6 copied, 0 there already, 0 left alone, 0 removed, 0 unreadable",
        "conversations  0 copied, 0 there already, 0 left alone, 0 unreadable",
    ]
    told = cli.json("migrate", redis_url, url_of(target))
    assert (told["copied"], told["unchanged"]) == (0, 6)


def test_another_namespace(cli: Cli, redis_url: str, target: Server) -> None:
    assert cli.json("migrate", redis_url, url_of(target), "--to-namespace", "moved")["copied"] == 6
    with target.client(password="sesame") as client:
        assert {bytes(key).partition(b":")[0] for key in client.scan_iter("*")} == {b"moved"}


def test_the_doctor_knows_what_a_copy_leaves(
    cli: Cli, redis_url: str, target: Server, bare_cluster: Cluster, namespace: str
) -> None:
    for url in (url_of(target), bare_cluster.url):
        assert cli("migrate", redis_url, url)[0] == 0
        store = create_session_store(url, namespace=namespace)

        async def remove_one(store: SessionStore = store) -> None:
            async with store:
                await store.remove_session("k1")

        asyncio.run(remove_one())
        code, out, _ = cli("doctor", "--store", url)
        assert code == 0, out


@pytest.mark.parametrize("to", ["memory://", "redis+cluster://", "http://:sesame@host", "redis://:sesame@host:x"])
def test_what_is_no_redis_is_refused_and_not_quoted(cli: Cli, redis_url: str, to: str) -> None:
    code, out, err = cli("migrate", redis_url, to)
    assert (code, out) == (2, "")
    assert "sesame" not in err


def test_the_same_place_is_refused(cli: Cli, redis_url: str) -> None:
    assert cli("migrate", redis_url, redis_url)[0] == 2


def test_a_target_that_fails(cli: Cli, redis_url: str, target: Server) -> None:
    url = url_of(target)
    target.kill()
    code, out, err = cli("migrate", redis_url, url)
    assert (code, out) == (1, "")
    assert err.startswith("error: ")
    assert "sesame" not in err


@pytest.mark.usefixtures("children_heed_sigint")
def test_an_interrupt_says_that_it_may_be_repeated(cli: Cli, redis_url: str, namespace: str, target: Server) -> None:
    with target.client(password="sesame") as client:
        command = [sys.executable, "-m", "greentic_session", "migrate", redis_url, url_of(target), "--namespace", namespace]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        client.execute_command("CLIENT PAUSE", 60_000, "WRITE")
        process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
        try:
            give_up = time.monotonic() + 20
            while not any(one["cmd"].startswith("eval") for one in client.client_list()):  # it waits to write
                assert process.poll() is None
                assert time.monotonic() < give_up
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=20)
        finally:
            process.kill()
            client.execute_command("CLIENT UNPAUSE")
    assert (process.returncode, out) == (130, "")
    assert err == "not finished: what was copied is; run it again for the rest\n"
    told = cli.json("migrate", redis_url, url_of(target))
    assert told["copied"] + told["unchanged"] == 6
