"""The loader of Lua: includes, and expressions in place of names."""

import sys
from pathlib import Path

import pytest
import redis

from greentic_session._redis.lua_source import script_text

KEYS = """\
-- @inline
local ns, SESSION = ARGV[1], ':session:'
local function path(owner) return owner:gsub('-', '') end
local function session(key) return ns .. SESSION .. key end -- where a text is
local function of(owner, key) return session(path(owner) .. key) end
local function nothing() return ns:sub(-1) == '}' end
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    folder = tmp_path / "lua_of_test"
    (folder / "includes").mkdir(parents=True)
    (folder / "__init__.py").touch()
    (folder / "includes" / "keys.lua").write_text(KEYS)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "lua_of_test", raising=False)
    script_text.__globals__["_files"].cache_clear()
    script_text.__globals__["_read"].cache_clear()
    return "lua_of_test"


def write(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / "lua_of_test" / f"{name}.lua").write_text("-- @include keys\n" + text)


@pytest.mark.parametrize(
    ("call", "value"),
    [
        ("session('k')", b"ns:session:k"),
        ("session(ARGV[2] .. '(,)')", b"ns:session:a-b(,)"),
        ("session(({'x', 'y'})[2])", b"ns:session:y"),
        ("of(ARGV[2], session('k')) -- of(", b"ns:session:abns:session:k"),
        ("#session('k')", 12),
        ("'session(1)' .. tostring(nothing())", b"session(1)false"),
        ("select('#', path('a-b'))", 1),
    ],
)
def test_a_call_becomes_the_expression_that_it_names(
    raw: redis.Redis, tmp_path: Path, package: str, call: str, value: object
) -> None:
    write(tmp_path, "script", f"return {call}\n")
    text = script_text(package, "script")
    assert "function" not in text
    assert raw.eval(text, 0, "ns", "a-b") == value


@pytest.mark.parametrize("use", ["return session", "return session('a', 'b')", "return session('a'"])
def test_what_is_no_call_of_an_expression_is_refused(tmp_path: Path, package: str, use: str) -> None:
    write(tmp_path, "wrong", use + "\n")
    with pytest.raises(ValueError, match="session"):
        script_text(package, "wrong")


def test_a_file_is_included_once(tmp_path: Path, package: str) -> None:
    write(tmp_path, "twice", "-- @include keys\nreturn 1\n")
    assert script_text(package, "twice").count("local ns") == 1


def test_comments_and_indentation_stay_behind(raw: redis.Redis, tmp_path: Path, package: str) -> None:
    write(tmp_path, "told", "-- What it does.\nif true then -- always\n  -- twice\n  return 'a -- b' .. \"--\" -- c\nend\n")
    text = script_text(package, "told")
    assert text == "local ns, SESSION = ARGV[1], ':session:'\nif true then\nreturn 'a -- b' .. \"--\"\nend\n"
    assert raw.eval(text, 0, "ns") == b"a -- b--"
