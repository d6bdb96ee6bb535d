"""What the READMEs show is true.

Their code runs, their commands are those that CI runs, their tables name what there is.
"""

import ast
import asyncio
import inspect
import json
import os
import re
import subprocess
import sys
import tomllib
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis
from paths import ROOT
from readmes.blocks import BLOCKS, DEMO, INSTALL, README, READMES, SUITE, block_with, prose_of
from readmes.commands import commands_in
from runs.projects import run_project

from greentic_session import (
    Claim,
    ClaimedError,
    InMemorySessionStore,
    ReplyScope,
    SessionCursor,
    SessionData,
    SessionStore,
    Start,
    TenantCtx,
)
from greentic_session._operations.claims import ClaimOperations
from greentic_session._operations.replies import ReplyOperations
from greentic_session.conversation import ConversationStore, Message, create_conversation_store
from greentic_session.conversation.transcripts import Transcripts
from greentic_session.encryption import EncryptionKey

pytest_plugins = ["pytester"]

RUN: list[str] = []
"""The Python blocks that a test below runs."""


def runs(marker: str) -> pytest.MarkDecorator:
    """Hand a test the block in which `marker` stands, and note that it runs it."""
    RUN.append(block_with(marker))
    return pytest.mark.parametrize("block", [RUN[-1]], ids=[marker])


def run(block: str) -> dict[str, Any]:
    """Execute a block as a program of its own."""
    names: dict[str, Any] = {"__name__": "readme"}
    exec(compile(block, "README.md", "exec"), names)
    return names


@runs('print("Which pizza?")')
def test_the_shortest_useful_code_runs(block: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The second message comes while the first one is worked on."""
    run(block)
    assert capsys.readouterr().out == "Which pizza?\nOne Margherita, coming up!\n"


@runs("async def on_message")
def test_the_runner_that_claims(block: str) -> None:
    on_message = run(block)["on_message"]
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


@runs("RedisSessionStore.from_url(\n")
def test_the_store_of_a_fleet(block: str, monkeypatch: pytest.MonkeyPatch, redis_url: str) -> None:
    monkeypatch.setenv("REDIS_URL", redis_url)
    store = run(block)["make_store"]()

    async def is_there() -> None:
        async with store:
            await store.health()

    asyncio.run(is_there())


@runs("# a burst: worked on in order")
def test_a_burst_with_a_runner(block: str) -> None:
    run(block)


@runs('create_conversation_store("memory://")')
def test_the_shortest_useful_conversation_runs(block: str) -> None:
    run(block)


@runs("class Shelf")
def test_the_adapter_of_ones_own(block: str) -> None:
    make_store = run(block)["make_store"]
    ctx = TenantCtx.new("dev", "tenant-42")

    async def talk() -> list[str]:
        async with make_store() as conversations:
            await conversations.create(ctx, id="c")
            for word in ("a", "b"):
                await conversations.append(ctx, "c", Message.user(word))
            return [message.text for message in await conversations.messages(ctx, "c")]

    assert asyncio.run(talk()) == ["a", "b"]


@runs("async def shorten(")
def test_the_transcript_that_is_shortened(block: str) -> None:
    ctx = TenantCtx.new("dev", "tenant-42")

    async def shortened() -> list[str]:
        async with create_conversation_store("memory://") as conversations:
            await conversations.create(ctx, id="c")
            await conversations.append(ctx, "c", *[Message.user(str(number)) for number in range(150)])
            await run(block)["shorten"](conversations, ctx, "c")
            return [message.text for message in await conversations.messages(ctx, "c")]

    assert asyncio.run(shortened()) == [
        "Before that, 130 messages were exchanged.",
        *map(str, range(130, 150)),
    ]


@runs("from agents import Agent, Runner")
def test_the_session_of_openai_agents(block: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pytest.importorskip("agents", reason="install the extra: python -m pip install 'greentic-session[openai-agents]'")
    from frameworks.scripted_agent import Scripted, clerk, said

    monkeypatch.chdir(tmp_path)

    async def talk() -> list[str]:
        names = run(block)
        agent = clerk(Scripted([said("Hello.")], [said("Hello again.")]))
        async with names["conversations"]:
            return [await names["answer"](agent, "chat-1", text) for text in ("Hi", "Hi!")]

    assert asyncio.run(talk()) == ["Hello.", "Hello again."]


@runs("from google.adk.agents import BaseAgent")
def test_the_session_service_of_google_adk(block: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pytest.importorskip("google.adk", reason="install the extra: python -m pip install 'greentic-session[google-adk]'")
    from google.adk.agents import BaseAgent

    monkeypatch.chdir(tmp_path)

    async def made() -> str:
        names = run(block)
        async with names["conversations"]:
            runner = names["make_runner"](BaseAgent(name="clerk"))
            session = await runner.session_service.create_session(app_name=runner.app_name, user_id="ann", session_id="s1")
            return str(session.id)

    assert asyncio.run(made()) == "s1"


@runs("from agents import Agent, function_tool")
def test_the_approvals_of_openai_agents(block: str) -> None:
    pytest.importorskip("agents", reason="install the extra: python -m pip install 'greentic-session[openai-agents]'")
    from frameworks.scripted_agent import Scripted, calling, said

    names = run(block)
    names["agent"].model = Scripted([calling("c1", "pay", '{"euros": 7}')], [said("It is paid.")])
    asked, told = approved(names, lambda approvals: approvals.calls[0].id)
    assert (asked.calls[0].tool, told) == ("pay", "It is paid.")


@runs("from pydantic_ai import Agent")
def test_the_agent_of_pydantic_ai(block: str) -> None:
    pytest.importorskip("pydantic_ai", reason="install the extra: python -m pip install 'greentic-session[pydantic-ai]'")
    from pydantic_ai.models.test import TestModel

    names = run(block)
    with names["agent"].override(model=TestModel()):
        asked, told = approved(names, lambda requests: requests.approvals[0].tool_call_id)
    assert (asked.approvals[0].tool_name, "paid" in told) == ("pay", True)


def approved(names: dict[str, Any], id_of: Callable[[Any], str]) -> tuple[Any, Any]:
    """Prompt the agent of a recipe, and approve its call; return what it asked and told."""

    async def talk() -> tuple[Any, Any]:
        heard = asyncio.Queue[Any]()
        names["print"] = lambda _, output: heard.put_nowait(output)
        ctx = TenantCtx.new("dev", "tenant-42", user="user-7")
        start = Start(SessionData.new(ctx, "desk", "begin"))
        async with names["sessions"], names["conversations"], names["runner"] as runner:
            prompt = '{"type": "prompt", "text": "Pay 7 euros"}'
            await runner.deliver(ctx, "user-7", ReplyScope("chat-1"), prompt, start=start)
            asked = await heard.get()
            decision = json.dumps({"type": "decision", "approvals": {id_of(asked): True}})
            await runner.deliver(ctx, "user-7", ReplyScope("chat-1"), decision)
            return asked, await heard.get()

    return asyncio.run(asyncio.wait_for(talk(), 60))


@runs("from langgraph.graph import StateGraph")
def test_the_graph_of_langgraph(block: str) -> None:
    pytest.importorskip("langgraph", reason="install the extra: python -m pip install 'greentic-session[langgraph]'")
    from typing import TypedDict

    from langgraph.graph import END, START, StateGraph
    from langgraph.types import interrupt

    class State(TypedDict):
        size: str

    async def ask(state: State) -> Any:
        return {"size": interrupt("size?")}

    async def talk() -> list[Any]:
        names, heard = run(block), asyncio.Queue[Any]()
        names["print"] = lambda _, said: heard.put_nowait(said)
        ctx = TenantCtx.new("dev", "tenant-42", user="user-7")
        start = Start(SessionData.new(ctx, "desk", "begin"))
        graph: Any = StateGraph(State)
        graph.add_node("ask", ask)
        graph.add_edge(START, "ask")
        graph.add_edge("ask", END)
        async with names["store"], names["make_runner"](graph) as runner:
            given = '{"type": "input", "value": {"size": ""}}'
            await runner.deliver(ctx, "user-7", ReplyScope("chat-1"), given, start=start)
            [question] = await heard.get()
            answer = json.dumps({"type": "answer", "question": question.id, "value": "large"})
            await runner.deliver(ctx, "user-7", ReplyScope("chat-1"), answer)
            return [question.value, await heard.get()]

    assert asyncio.run(asyncio.wait_for(talk(), 60)) == ["size?", {"size": "large"}]


@runs("from aiogram import Bot, Dispatcher")
def test_the_bot_of_aiogram(block: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from aiogram import Bot, Dispatcher
    from aiogram.types import Message, Update

    chat = {"id": 7, "type": "private"}
    sender = {"id": 7, "is_bot": False, "first_name": "Ada"}
    update = {"message_id": 1, "date": 1, "chat": chat, "from": sender, "text": "hello"}
    heard: list[Any] = []

    async def poll(dispatcher: Dispatcher, bot: Bot, **_: Any) -> None:
        done = asyncio.Event()

        async def on_text(message: Message) -> None:
            heard.append(message.text)
            done.set()

        dispatcher.message.register(on_text)
        await dispatcher.feed_update(bot, Update.model_validate({"update_id": 1, "message": update}))
        await done.wait()

    monkeypatch.setattr(Dispatcher, "start_polling", poll)
    asyncio.run(asyncio.wait_for(run(block)["main"]("1:token", "memory://"), 60))
    assert heard == ["hello"]


@runs("from greentic_session.integrations.starlette import")
def test_the_application_of_fastapi(block: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import httpx

    monkeypatch.chdir(tmp_path)
    app = run(block)["app"]

    async def answered() -> str:
        async with app.router.lifespan_context(app) as state:

            async def with_state(scope: Any, receive: Any, send: Any) -> None:
                await app({**scope, "state": dict(state)}, receive, send)

            async with httpx.AsyncClient(transport=httpx.ASGITransport(with_state), base_url="http://desk") as client:
                return str((await client.post("/user-7/chat-1?text=hello")).json())

    assert asyncio.run(answered()) == "unmatched"


@runs("async def copy(")
def test_the_copy_by_readable_files(block: str, tmp_path: Path) -> None:
    urls = [f"sqlite:///{tmp_path}/{name}.db" for name in ("here", "there")]
    ctx = TenantCtx.new("dev", "tenant-42")

    async def copied() -> int:
        async with create_conversation_store(urls[0]) as conversations:
            await conversations.create(ctx, id="c")
        return int(await run(block)["copy"](urls[0], tmp_path / "export", urls[1]))

    assert asyncio.run(copied()) == 1


@runs("class TestMyStore")
def test_the_suite_for_a_backend_of_ones_own(block: str, tmp_path: Path) -> None:
    (tmp_path / "test_my_store.py").write_text(block)
    (tmp_path / "pytest.ini").write_text("[pytest]\nasyncio_default_fixture_loop_scope = function\n")
    command = [sys.executable, "-m", "pytest", "-k", "test_a_created_session_is_read_back or test_complete"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    run = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert "2 passed" in run.stdout, run.stdout + run.stderr


def test_every_block_is_run_by_a_test() -> None:
    assert {block.language for block in BLOCKS} == {"python", "sh"}
    assert sorted(RUN) == sorted(block.text for block in BLOCKS if block.language == "python")
    others = [block.text for block in BLOCKS if block.language == "sh" and block.text not in {DEMO, INSTALL, SUITE}]
    # Their options are checked, and a run would take long: see test_readme_commands.py.
    assert all(line.startswith("python -m ") and list(commands_in(line)) for text in others for line in text.splitlines())


@pytest.mark.parametrize("path", READMES)
def test_code_stands_between_fences(path: str) -> None:
    """Code by indentation, in HTML, or behind a fence that is never closed would not be run."""
    assert re.findall(r"^(?: {4}|\t| *```| *~~~)|<(?:pre|code)\b", prose_of(path), re.MULTILINE) == []


@runs("def make_conversations")
def test_the_stores_that_encrypt(block: str, monkeypatch: pytest.MonkeyPatch, redis_url: str, raw: redis.Redis) -> None:
    keys = [EncryptionKey.generate("2026-02").to_text(), EncryptionKey.generate("2026-01").to_text()]
    monkeypatch.setenv("SNAPSHOT_KEYS", ",".join(keys))
    monkeypatch.setenv("REDIS_URL", redis_url)
    names = run(block)
    ctx = TenantCtx.new("dev", f"tenant-{uuid.uuid4()}", user="user-7")
    data = SessionData(tenant_ctx=ctx, flow_id="f", cursor=SessionCursor("n"), context_json="hush")

    async def use() -> None:
        async with names["make_store"]() as store, names["make_conversations"]() as conversations:
            key = await store.create_session(ctx, data, ttl=60)
            assert await store.get_session(key) == data
            stored: Any = raw.get(f"greentic:session:session:{key}")
            assert b"gse1:2026-02:" in stored
            await conversations.create(ctx, id="c", cwd="/hush")
            await conversations.append(ctx, "c", Message.user("hush"))
            assert [message.text for message in await conversations.messages(ctx, "c")] == ["hush"]
            assert (await store.purge(ctx), await conversations.purge(ctx)) == (1, 1)

    asyncio.run(use())


@runs("def test_the_answer_finds_its_flow")
def test_the_test_that_a_user_writes(
    block: str, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, redis_url: str
) -> None:
    monkeypatch.setenv("REDIS_URL", redis_url)
    pytester.makeini("[pytest]\nasyncio_default_fixture_loop_scope = function")
    pytester.makepyfile(block)
    run_project(pytester).assert_outcomes(passed=1)


@runs("instrument(")
def test_the_store_that_is_observed(block: str) -> None:
    store = run(block)["make_store"]("memory://")

    async def is_there() -> None:
        async with store:
            await store.health()

    asyncio.run(is_there())


def test_the_fixtures_are_the_ones_that_there_are() -> None:
    (table,) = re.findall(r"^\| fixture \|.*?\n\n", READMES["greentic_session/testing/README.md"], re.DOTALL | re.MULTILINE)
    tree = ast.parse((ROOT / "greentic_session/pytest_plugin.py").read_text())
    fixtures = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    assert set(re.findall(r"`(\w+)`", table)) == fixtures


def test_the_two_commands_do_all_of_their_own_set_up() -> None:
    set_up = "python3 -m venv .venv && . .venv/bin/activate && python -m pip install"
    assert f"{set_up} . && python -m greentic_session\n" == DEMO
    assert f"{set_up} -e '.[test]' && python -m pytest\n" == SUITE


def test_ci_runs_the_test_command_as_it_stands() -> None:
    ci = (ROOT / ".ci/run").read_text()
    pattern = re.search(r'^test_command=\$\(grep -E "(.*)" README.md\)$', ci, re.MULTILINE)
    assert pattern is not None
    assert [line for line in README.splitlines() if re.search(pattern[1], line)] == SUITE.splitlines()
    assert '\neval "$test_command"\n' in ci
    assert "\npython -m pytest -m slow\n" in ci  # which runs the other two


def test_the_versions_of_python_that_are_named_are_those_that_ci_tests() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    named = {found[1] for text in project["classifiers"] if (found := re.search(r"Python :: (3\.\d+)$", text))}
    loop = re.search(r"^for version in (.*); do$", (ROOT / ".ci/run").read_text(), re.MULTILINE)
    assert loop is not None
    assert named <= set(loop[1].split())  # it tests on later ones, too, where they are
    assert project["requires-python"] == f">={min(named, key=lambda version: int(version[2:]))}"


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
    operations = operations_of(SessionStore) | operations_of(ClaimOperations) | operations_of(Claim)
    del operations["find_by_user"]
    assert {name: shown.get(name) for name in operations} == operations


def test_the_table_of_replies_tells_the_signatures() -> None:
    operations = operations_of(ReplyOperations)
    del operations["wake"]
    shown = re.findall(r"`(\w+)(\([^`]*\))`", READMES["greentic_session/_operations/README.md"])
    assert {name: signature for name, signature in shown if name in operations} == operations


def test_the_table_of_conversations_tells_the_signatures() -> None:
    operations = operations_of(ConversationStore) | operations_of(Transcripts)
    del operations["health"]
    shown = re.findall(r"`conversations\.(\w+)(\([^`]*\))`", READMES["greentic_session/conversation/README.md"])
    assert dict(shown) == operations


def test_readme_is_short() -> None:
    assert len(README.encode()) <= 12_000


def heading_anchors(text: str) -> set[str]:
    return {
        re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    }


LINKS = [(path, link) for path, text in READMES.items() for link in re.findall(r"\]\(([^)\s]+)\)", text)]
REPOSITORY = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["urls"]["Repository"]


@pytest.mark.parametrize(("path", "link"), LINKS)
def test_what_a_readme_links_is_there(path: str, link: str) -> None:
    target, _, anchor = link.partition("#")
    if target.startswith(REPOSITORY):
        file = ROOT / target.removeprefix(f"{REPOSITORY}/blob/main/")
    elif "://" in target:
        return
    else:
        # PyPI shows README.md alone: there are no neighbours.
        assert path != "README.md" or not target
        file = (ROOT / path).parent / target if target else ROOT / path
    assert file.exists()
    assert not anchor or anchor in heading_anchors(file.read_text())


def test_every_readme_is_linked() -> None:
    linked = {link.removeprefix(f"{REPOSITORY}/blob/main/") for path, link in LINKS if path == "README.md"}
    assert set(READMES) - linked == {"README.md"}
