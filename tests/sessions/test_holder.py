"""Tokens of claims: secret but for what tells who holds them."""

import os
import subprocess
import sys

from greentic_session._base.holder import (
    PUBLIC_CHARACTERS,
    Holder,
    claim_token,
    delivery_tokens,
    holder_of,
    this_process,
)


def test_a_token_tells_who_made_it() -> None:
    assert holder_of(claim_token()) == holder_of(claim_token()[:PUBLIC_CHARACTERS]) == this_process()
    assert this_process().pid == os.getpid()


def test_the_rest_is_a_secret() -> None:
    tokens = [claim_token() for _ in range(1000)]
    assert {len(token) for token in tokens} == {32}
    assert len({token[PUBLIC_CHARACTERS:] for token in tokens}) == 1000
    assert not any(":" in token for token in tokens)  # which ends it in Redis


def test_a_delivery_has_a_token_like_others_and_two_ids_of_its_own() -> None:
    drawn = [delivery_tokens() for _ in range(1000)]
    assert {holder_of(token) for token, _, _ in drawn} == {this_process()}
    texts = [text for token, *ids in drawn for text in (token[PUBLIC_CHARACTERS:], *ids)]
    assert {len(text) for text in texts} == {20, 32}
    assert len(set(texts)) == 3000
    assert not any(text[4:12] in other for token, *ids in drawn for text in ids for other in (token, *ids) if other != text)


def test_another_process_is_another_holder() -> None:
    code = "from greentic_session._base.holder import claim_token; print(claim_token())"
    token = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    holder = holder_of(token)
    assert holder is not None
    assert (holder.host, holder.pid != os.getpid()) == (this_process().host, True)


def test_a_forked_child_is_another_holder() -> None:
    claim_token()
    code = (
        "import os; from greentic_session._base.holder import claim_token, holder_of\n"
        "claim_token(); child = os.fork()\n"
        "if child == 0: print(holder_of(claim_token()).pid == os.getpid(), flush=True); os._exit(0)\n"
        "os.waitpid(child, 0)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "True\n"


def test_a_token_of_another_kind_tells_nothing() -> None:
    assert [holder_of(token) for token in (None, "", "0" * 32, "-" * 32)] == [None] * 4
    assert holder_of("3fa9c.001267" + "x" * 20) == Holder("3fa9c", 0x1267)
