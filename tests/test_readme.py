"""Every code block of the README does what it says.

Python blocks run, each by itself as a reader would run it; a `text` block behind one is what it prints. Where the README
says in a comment that its figures differ from run to run, the kernels named are compared. Of shell commands it is checked
that they exist and take these options.
"""

import contextlib
import io
import linecache
import os
import re
import shlex
import subprocess
import sys
import tomllib
from itertools import pairwise
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LANGUAGES = {"python", "sh", "text"}
DIFFERS = "<!-- the figures differ from run to run -->\n"


def blocks():
    """(language, code, line number) of every block, in order."""
    for match in FENCE.finditer(README):
        language = "sample" if README.endswith(DIFFERS, 0, match.start()) else match[1]
        yield language, match[2], README[: match.start()].count("\n") + 2


def python_blocks():
    """Each Python block with what follows it: ("text", output) or ("sample", output) where the README shows that."""
    found = list(blocks())
    for (language, code, line), following in pairwise([*found, ("", "", 0)]):
        if language == "python":
            yield pytest.param(code, *following[:2], id=f"line{line}")


def shell_commands():
    for language, code, line in blocks():
        if language == "sh":
            for offset, command in enumerate(code.splitlines()):
                yield pytest.param(command.partition(" #")[0].strip(), id=f"line{line + offset}")


def test_every_block_is_known():
    assert {language for language, _, _ in blocks()} == LANGUAGES | {"sample"}
    assert README.count("```") == 2 * len(list(blocks()))


def test_every_output_belongs_to_a_python_block():
    found = [language for language, _, _ in blocks()]
    assert all(before == "python" for before, after in pairwise(found) if after in ("text", "sample"))


@pytest.mark.parametrize(("code", "kind", "expected"), list(python_blocks()))
def test_python(code, kind, expected, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    # As if it were a file: `fuse` and `explain` look at the lines.
    monkeypatch.setitem(linecache.cache, "example.py", (len(code), None, code.splitlines(keepends=True), "example.py"))
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        exec(compile(code, "example.py", "exec"), {"__name__": "__main__"})
    printed = output.getvalue().rstrip()
    if kind == "text":
        assert printed == expected.rstrip()
    elif kind == "sample":
        assert kernels_in(printed) == kernels_in(expected)


def kernels_in(profile):
    return set(re.findall(r"^\w+\[\w*\]", profile, re.MULTILINE))


def run(command, **environment):
    return subprocess.run(
        command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip


def makefile():
    return (ROOT / "Makefile").read_text(encoding="utf-8")


@pytest.mark.parametrize("command", list(shell_commands()))
def test_shell(command):
    words = shlex.split(command)
    environment = {}
    while re.fullmatch(r"[A-Z_]+=\S*", words[0]):
        name, _, value = words.pop(0).partition("=")
        environment[name] = value
    check_command(words, environment)


def check_command(words, environment):
    if words[0] == "make":
        for word in words[1:]:
            name, given, _ = word.partition("=")
            pattern = rf"^{name} \?=" if given else rf"^{name}:"
            assert re.search(pattern, makefile(), re.MULTILINE), f"the Makefile knows nothing of {name}"
    elif words[:3] == ["python", "-m", "autograd"]:
        result = run([sys.executable, *words[1:]], **environment)
        assert "a matrix product" in result.stdout, result.stderr
        assert not environment.get("GRADLOOM_DEBUG") or "[gradloom]" in result.stderr
    elif words[:2] == ["python", "-m"] and words[2].startswith("bench"):
        result = run([sys.executable, *words[1:], "--help"])
        assert result.returncode == 0 and "usage" in result.stdout, result.stderr
    elif words[:2] == ["pip", "install"]:
        dependencies = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
        assert set(words[2:]) <= {name for names in dependencies.values() for name in names}
    elif words[:2] == ["python", "-c"]:
        result = run([sys.executable, *words[1:]], **environment)
        assert result.returncode == 0, result.stderr
    elif words[0] == "python" and words[1].endswith(".py"):
        check_script(words[1], [word for word in words[2:] if word.startswith("--")])
    else:
        pytest.fail(f"no check for the command {shlex.join(words)}")


def check_script(path, options):
    result = run([sys.executable, path, "--help"])
    assert result.returncode == 0, result.stderr
    assert [option for option in options if option not in result.stdout] == []


@pytest.mark.parametrize("code", re.findall(r"`(python [^`\n]+|pip [^`\n]+|make [^`\n]+)`", FENCE.sub("", README)))
def test_commands_in_the_text(code):
    words = shlex.split(code)
    if words[0] == "pip":
        extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
        asked = re.findall(r"\[(.*)\]", code)
        assert asked
        assert set(asked[0].split(",")) <= extras.keys()
    else:
        check_command(words, {})


@pytest.mark.parametrize("target", re.findall(r"\]\(([^)]+)\)", README))
def test_links_lead_somewhere(target):
    assert (ROOT / target).exists()


def test_make_help_lists_the_commands():
    listed = set(re.findall(r"^  ([a-z]+) ", run(["make", "help"]).stdout, re.MULTILINE))
    assert listed == {"help", "demo", "test", "bench", "lint", "clean"}


def test_continuous_integration_runs_the_readmes_test_command():
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert "make test" in FENCE.search(README)[2]
    assert "\nmake test\n" in script
    assert "\nset -euo pipefail\n" in script
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
