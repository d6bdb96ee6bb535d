"""What the Rust reference was seen to read, write, hash and refuse.

We do the same, but for the differences listed here.
"""

import json
import re
from typing import Any

import msgspec
import pytest
from paths import VECTORS

from greentic_session import (
    EnvId,
    FlowId,
    InvalidInputError,
    PackId,
    ReplyScope,
    SessionData,
    SessionKey,
    TeamId,
    TenantId,
    UserId,
)
from greentic_session.mapping import canonical_session_key, telegram_update_to_session_key, webhook_to_session_key


def recorded(name: str) -> list[dict[str, Any]]:
    vectors: list[dict[str, Any]] = json.loads((VECTORS / f"{name}.json").read_text())
    assert vectors, name
    return vectors


SERIALIZE = recorded("serialize")
DESERIALIZE = recorded("deserialize")
IDENTIFIERS = recorded("identifier")
ID_TYPES = {"EnvId": EnvId, "TenantId": TenantId, "TeamId": TeamId, "UserId": UserId, "FlowId": FlowId, "PackId": PackId}

STRUCT_AS_ARRAY = "serde reads a struct from an array as well; neither runtime writes one"
DUPLICATE_KEY = "serde refuses a field that is there twice; the last one counts for us"
DIFFERENT = {
    "deadline as array": STRUCT_AS_ARRAY,
    "cursor as short array": STRUCT_AS_ARRAY,
    "whole as array": STRUCT_AS_ARRAY,
    "duplicate env": DUPLICATE_KEY,
    "duplicate optional with null": DUPLICATE_KEY,
    "duplicate pack_id null null": DUPLICATE_KEY,
    "unknown field lone surrogate": "serde skips over it; to us a lone surrogate is malformed anywhere",
}


def names(vectors: list[dict[str, Any]]) -> list[str]:
    return [vector["name"] for vector in vectors]


def rewritten(vector: dict[str, Any]) -> str:
    """Read a text as its type, and write it again."""
    match vector["type"]:
        case "SessionData":
            return SessionData.from_json(vector["text"]).to_json().decode()
        case "ReplyScope":
            return msgspec.json.encode(msgspec.json.decode(vector["text"], type=ReplyScope)).decode()
        case "SessionKey":
            return json.dumps(SessionKey(msgspec.json.decode(vector["text"])), ensure_ascii=False)
        case other:
            raise AssertionError(other)


def outcome(vector: dict[str, Any]) -> str | None:
    try:
        return rewritten(vector)
    except (InvalidInputError, msgspec.ValidationError, TypeError):
        return None


def leaves(value: Any) -> list[str]:
    """Every text and number in a JSON value, as it is written."""
    if isinstance(value, dict | list):
        return [leaf for item in (value.values() if isinstance(value, dict) else value) for leaf in leaves(item)]
    return [str(value)] if isinstance(value, str | int | float) and not isinstance(value, bool) and value != "" else []


def values_in(text: str) -> list[str]:
    try:
        return leaves(json.loads(text))
    except ValueError:
        return re.findall(r'": ?"([^"]+)"', text)  # malformed: the texts that follow a key


@pytest.mark.parametrize("vector", SERIALIZE, ids=names(SERIALIZE))
def test_serialize(vector: dict[str, Any]) -> None:
    data = SessionData.from_json(json.dumps(vector["input"]))
    assert data.to_json() == vector["json"].encode()
    assert SessionData.from_json(vector["json"]) == data
    assert SessionData.from_json(vector["json"].encode()).to_json() == vector["json"].encode()


@pytest.mark.parametrize("vector", DESERIALIZE, ids=names(DESERIALIZE))
def test_deserialize(vector: dict[str, Any]) -> None:
    expected = vector["json"] if vector["ok"] else None
    assert (outcome(vector) == expected) is (vector["name"] not in DIFFERENT)


REFUSED = [vector for vector in DESERIALIZE if vector["type"] == "SessionData" and outcome(vector) is None]


@pytest.mark.parametrize("vector", REFUSED, ids=names(REFUSED))
def test_a_refusal_quotes_nothing(vector: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError) as caught:
        SessionData.from_json(vector["text"])
    message = str(caught.value)
    assert message.startswith("not a SessionData: ")
    quoted = [value for value in values_in(vector["text"]) if re.search(rf"(?<![-\w]){re.escape(value)}(?!\w)", message)]
    assert quoted == []


def test_the_differences_are_recorded_vectors() -> None:
    assert set(DIFFERENT) <= set(names(DESERIALIZE))
    assert len(set(names(DESERIALIZE))) == len(DESERIALIZE)


@pytest.mark.parametrize("vector", IDENTIFIERS, ids=[f"{v['type']} {ascii(v['value'])[:40]}" for v in IDENTIFIERS])
def test_identifier(vector: dict[str, Any]) -> None:
    make = ID_TYPES[vector["type"]]
    if vector["ok"]:
        assert make(vector["value"]) == vector["value"]
    else:
        with pytest.raises(InvalidInputError) as caught:
            make(vector["value"])
        assert str(caught.value).partition(";")[0] == vector["error"]["message"]  # behind it stands what to do
        assert caught.value.code == vector["error"]["code"]


@pytest.mark.parametrize("vector", recorded("scope_hash"), ids=lambda vector: ascii(vector["scope"])[:60])
def test_scope_hash(vector: dict[str, Any]) -> None:
    assert msgspec.convert(vector["scope"], ReplyScope).scope_hash() == vector["hash"]


@pytest.mark.parametrize("vector", recorded("telegram_key"), ids=lambda vector: vector["key"][:8])
def test_telegram_key(vector: dict[str, Any]) -> None:
    assert telegram_update_to_session_key(vector["bot_id"], vector["chat_id"], vector["user_id"]) == vector["key"]


@pytest.mark.parametrize("vector", recorded("webhook_key"), ids=lambda vector: vector["key"][:8])
def test_webhook_key(vector: dict[str, Any]) -> None:
    assert webhook_to_session_key(vector["source"], vector["subject"], vector["id_hint"]) == vector["key"]


@pytest.mark.parametrize("vector", recorded("canonical_key"), ids=lambda vector: vector["key"])
def test_canonical_key(vector: dict[str, Any]) -> None:
    given = {name: vector[name] for name in ("tenant", "provider", "anchor", "user")}
    assert canonical_session_key(**given) == vector["key"]
