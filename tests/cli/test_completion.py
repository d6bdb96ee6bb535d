"""Completion in the shells that are installed, and the version."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from runs.cli import Cli

import greentic_session
from greentic_session.cli.completion import SHELLS

TRY_IN_BASH = """
complete_with=$(complete -p greentic-session | sed 's/.*-F \\([^ ]*\\).*/\\1/')
COMP_WORDS=(greentic-session {words}); COMP_CWORD=$(( ${{#COMP_WORDS[@]}} - 1 ))
$complete_with greentic-session "${{COMP_WORDS[COMP_CWORD]}}" "${{COMP_WORDS[COMP_CWORD-1]}}"
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
TRY_IN_FISH = "complete -C 'greentic-session {words}'"


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Cli:
    return Cli(capsys)


def test_the_version(cli: Cli) -> None:
    assert cli("--version") == (0, f"greentic-session {greentic_session.__version__}\n", "")


@pytest.mark.parametrize("shell", SHELLS)
def test_a_shell_understands_its_script(shell: str, cli: Cli, tmp_path: Path) -> None:
    code, out, err = cli("completion", shell)
    assert (code, err) == (0, "")
    for word in ("waits", "doctor", "namespace", "tenant"):
        assert word in out
    if (found := shutil.which(shell)) is None:
        pytest.skip(f"no {shell} here")
    script = tmp_path / "script"
    script.write_text(out)
    done = subprocess.run([found, "-n", str(script)], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(("shell", "attempt"), [("bash", TRY_IN_BASH), ("fish", TRY_IN_FISH)])
def test_words_are_completed(shell: str, attempt: str, cli: Cli, tmp_path: Path) -> None:
    if (found := shutil.which(shell)) is None:
        pytest.skip(f"no {shell} here")
    script = tmp_path / "script"
    script.write_text(cli("completion", shell)[1])

    def completed(words: str) -> set[str]:
        code = f"source {script}\n{attempt.format(words=words)}"
        done = subprocess.run([found, "-c", code], capture_output=True, text=True, timeout=60, check=True)
        return {line.split("\t")[0].strip() for line in done.stdout.splitlines()} - {""}

    assert completed("wa") == {"waits"}
    assert completed("waits --te") >= {"--team"}
    assert completed("completion z") == {"zsh"}


def test_another_shell_is_refused(cli: Cli) -> None:
    assert cli("completion", "cmd")[0] == 2


def test_without_the_extra_tables_are_plain_and_completion_names_it() -> None:
    hide = "import sys; sys.modules['rich'] = sys.modules['shtab'] = None; from greentic_session.cli import main; "
    for argv, code, told in (
        (["stats", "--store", "memory://"], 0, "empty when it begins"),
        (["completion", "bash"], 1, "completion needs an extra: python -m pip install 'greentic-session[cli]'"),
    ):
        done = subprocess.run(
            [sys.executable, "-c", f"{hide}sys.stdout.isatty = lambda: True; sys.exit(main({argv!r}))"],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == code
        assert told in done.stderr
        assert "Traceback" not in done.stderr
