"""The package where no extra is installed.

What can be imported, and what says which extra is missing.
"""

import subprocess
import sys

import pytest

MISSING = ("redis", "hiredis", "cryptography", "opentelemetry", "rich", "shtab")
PACKAGES = ("greentic_session", "greentic_session.conversation", "greentic_session.encryption", "greentic_session.telemetry")
LAZY = {"greentic_session": "RedisSessionStore", "greentic_session.conversation": "RedisConversationStore"}


def run(code: str) -> str:
    """Return what a program prints where no extra is installed."""
    hide = "".join(f"sys.modules[{name!r}] = None\n" for name in MISSING)
    done = subprocess.run([sys.executable, "-c", f"import sys\n{hide}{code}"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_everything_else_is_there() -> None:
    said = run(
        "import inspect\n"
        f"for package in {PACKAGES}:\n"
        "    names = {}\n"
        "    exec(f'from {package} import *', names)\n"
        "    module = sys.modules[package]\n"
        "    assert set(module.__all__) <= set(names)\n"
        "    assert not any(name.startswith('Redis') and name.endswith('Store') for name in module.__all__)\n"
        "    inspect.getmembers(module), dir(module), hasattr(module, '__path__'), hasattr(module, 'nothing')\n"
        "print('well')"
    )
    assert said == "well\n"


@pytest.mark.parametrize(
    ("package", "make", "store"),
    [
        ("greentic_session", "create_session_store", "SQLiteSessionStore"),
        ("greentic_session.conversation", "create_conversation_store", "SQLiteConversationStore"),
    ],
)
def test_a_python_without_sqlite(package: str, make: str, store: str) -> None:
    said = run(
        "sys.modules['sqlite3'] = sys.modules['_sqlite3'] = None\n"
        f"from {package} import *\n"
        f"import {package}\n"
        "from greentic_session import UnavailableError\n"
        f"assert {store!r} not in {package}.__all__\n"
        f"try: {make}('sqlite:///bot.db')\n"
        "except UnavailableError as error: print(error)\n"
        f"try: from {package} import {store}\n"
        "except ImportError as error: print(error)\n"
    )
    assert said == "a store in SQLite needs Python's own sqlite3, and this Python has none\n" * 2


def test_the_command_line_in_a_python_without_sqlite() -> None:
    said = run(
        "sys.modules['sqlite3'] = sys.modules['_sqlite3'] = None\n"
        "from greentic_session.cli import main\n"
        "print(main(['stats', '--store', 'memory://']), main([]))\n"
    )
    assert said.splitlines()[-1] == "0 1"


@pytest.mark.parametrize(("module", "name"), LAZY.items())
def test_a_lazy_name_is_absent_and_names_its_extra(module: str, name: str) -> None:
    said = run(
        f"import importlib; module = importlib.import_module({module!r})\n"
        f"print(hasattr(module, {name!r}), getattr(module, {name!r}, None))\n"
        f"try: module.{name}\n"
        "except AttributeError as error: print(error)\n"
        f"try: from {module} import {name}\n"
        "except ImportError as error: print(error)\n"
    )
    absent, *told = said.splitlines()
    assert absent == "False None"
    assert told == ["Redis needs an extra: python -m pip install 'greentic-session[redis]'"] * 2


def test_no_module_fails_with_anything_but_an_import_error() -> None:
    said = run(
        "import importlib, pkgutil, greentic_session\n"
        "for module in pkgutil.walk_packages(greentic_session.__path__, 'greentic_session.', onerror=lambda name: None):\n"
        "    try: importlib.import_module(module.name)\n"
        "    except ImportError: pass\n"
        "print('well')"
    )
    assert said == "well\n"


def test_where_all_is_installed_the_names_are_there() -> None:
    for module, name in LAZY.items():
        names: dict[str, object] = {}
        exec(f"from {module} import *", names)  # that is what is tested
        assert name in names
