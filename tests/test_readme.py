"""What README shows is true: its code runs, its commands are the ones that CI runs, its table names what there is."""

import ast
import asyncio
import inspect
import re
from pathlib import Path
from typing import Any

import pytest
from projects import run_project

from greentic_session import (
    Claim,
    ClaimedError,
    InMemorySessionStore,
    ReplyScope,
    SessionCursor,
    SessionData,
    SessionStore,
    TenantCtx,
)
from greentic_session.conversation import ConversationStore, Message
from greentic_session.testing import SessionStoreContract

pytest_plugins = ["pytester"]

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```python\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)
COMMANDS = re.findall(r"^```sh\n(.*?)\n```$", README, re.MULTILINE)


def run(block: str) -> dict[str, Any]:
    """Execute a block as a program of its own."""
    names: dict[str, Any] = {"__name__": "readme"}
    exec(compile(block, "README.md", "exec"), names)
    return names


def test_there_is_a_test_for_every_block() -> None:
    assert len(BLOCKS) == 8


@pytest.mark.filterwarnings("ignore:use find_wait_by_scope:DeprecationWarning")
def test_the_shortest_useful_code_runs() -> None:
    run(BLOCKS[0])


def test_the_runner_that_claims() -> None:
    on_message = run(BLOCKS[1])["on_message"]
    ctx = TenantCtx.new("dev", "tenant-42", user="user-7")
    scope = ReplyScope("telegram:chat-1")
    data = SessionData(tenant_ctx=ctx, flow_id="f", cursor=SessionCursor("n"), context_json="{}")

    async def answer_twice() -> list[str]:
        async with InMemorySessionStore() as store:
            await store.register_wait(ctx, "user-7", scope, "k", data)
            said = [await on_message(store, ctx, "user-7", scope, "first")]
            async with await store.claim_wait(ctx, "user-7", scope) or pytest.fail("nothing waits"):
                said.append(await on_message(store, ctx, "user-7", scope, "too early"))
            said += [await on_message(store, ctx, "user-7", scope, text) for text in ("second", "third")]
            return said

    assert asyncio.run(answer_twice()) == [
        "parked again",
        "another runner is at it",
        "done",
        "nothing waits for this answer",
    ]
    assert issubclass(ClaimedError, Exception)


def test_the_store_of_a_fleet(monkeypatch: pytest.MonkeyPatch, redis_url: str) -> None:
    monkeypatch.setenv("REDIS_URL", redis_url)
    store = run(BLOCKS[2])["make_store"]()

    async def is_there() -> None:
        async with store:
            await store.health()

    asyncio.run(is_there())


def test_the_shortest_useful_conversation_runs() -> None:
    run(BLOCKS[3])


def test_the_adapter_of_ones_own() -> None:
    make_store = run(BLOCKS[4])["make_store"]
    ctx = TenantCtx.new("dev", "tenant-42")

    async def talk() -> list[str]:
        async with make_store() as conversations:
            await conversations.create(ctx, id="c")
            for word in ("a", "b"):
                await conversations.append(ctx, "c", Message.user(word))
            return [message.text for message in await conversations.messages(ctx, "c")]

    assert asyncio.run(talk()) == ["a", "b"]


def test_the_suite_for_a_backend_of_ones_own() -> None:
    assert issubclass(run(BLOCKS[5])["TestMyStore"], SessionStoreContract)


def test_the_test_that_a_user_writes(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, redis_url: str) -> None:
    monkeypatch.setenv("REDIS_URL", redis_url)
    pytester.makeini("[pytest]\nasyncio_default_fixture_loop_scope = function")
    pytester.makepyfile(BLOCKS[6])
    run_project(pytester).assert_outcomes(passed=1)


def test_the_store_that_is_observed() -> None:
    store = run(BLOCKS[7])["make_store"]("memory://")

    async def is_there() -> None:
        async with store:
            await store.health()

    asyncio.run(is_there())


def test_the_fixtures_are_the_ones_that_there_are() -> None:
    (table,) = re.findall(r"^\| fixture \|.*?\n\n", README, re.DOTALL | re.MULTILINE)
    tree = ast.parse((ROOT / "greentic_session/pytest_plugin.py").read_text())
    fixtures = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    assert set(re.findall(r"`(\w+)`", table)) == fixtures


def test_the_two_commands_do_all_of_their_own_set_up() -> None:
    assert COMMANDS[:2] == [
        "python3 -m venv .venv && . .venv/bin/activate && python -m pip install . && python -m greentic_session",
        "python3 -m venv .venv && . .venv/bin/activate && python -m pip install -e '.[test]' && python -m pytest",
    ]


def test_ci_runs_the_test_command_as_it_stands() -> None:
    assert "README.md" in (ROOT / ".ci/run").read_text()


def operations_of(owner: type) -> dict[str, str]:
    """Return the signatures of the public methods of a class, as README shows them."""
    found = {}
    for name, member in vars(owner).items():
        if inspect.isfunction(member) and name[0] != "_" and name != "aclose":
            parameters = list(inspect.signature(member).parameters.values())[1:]
            bare = [parameter.replace(annotation=inspect.Parameter.empty) for parameter in parameters]
            found[name] = str(inspect.Signature(bare)).replace("'", '"')
    return found


def test_the_table_of_operations_tells_the_signatures() -> None:
    shown = dict(re.findall(r"`(?:claim\.|\.)?(\w+)(\([^`]*\))`", README))
    operations = operations_of(SessionStore) | operations_of(Claim)
    del operations["find_by_user"]
    assert {name: shown.get(name) for name in operations} == operations


def test_the_table_of_conversations_tells_the_signatures() -> None:
    operations = operations_of(ConversationStore)
    del operations["health"]
    assert dict(re.findall(r"`conversations\.(\w+)(\([^`]*\))`", README)) == operations
