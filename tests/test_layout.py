"""The house rules that a program can check: who imports whom, what no module may do, that CI runs the README's line."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("bench", "codec", "heads", "samples", "splat")
MAY_IMPORT = {
    "bench": {"codec", "heads", "samples", "splat"},
    "codec": {"heads"},
    "heads": set(),
    "samples": set(),
    "splat": set(),
}
LINES_MAX = 600
UNPICKLERS = {"cloudpickle", "dill", "joblib", "marshal", "pickle", "shelve"}

MODULES = sorted(path.relative_to(ROOT) for name in PACKAGES for path in (ROOT / name).rglob("*.py"))
TESTS = sorted(path.relative_to(ROOT) for path in (ROOT / "tests").rglob("test_*.py"))


def tree_of(module: Path) -> ast.Module:
    return ast.parse((ROOT / module).read_text(encoding="utf-8"), filename=str(module))


def imports(module: Path, tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Every imported module as (line, full dotted name), relative ones resolved, those inside functions too."""
    package = module.parent.parts
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            stem = ".".join([*base, *([node.module] if node.module else [])])
            yield from ((node.lineno, f"{stem}.{alias.name}".strip(".")) for alias in node.names)


def allowed(module: Path) -> set[str]:
    """The project packages that a module may import."""
    package = module.parts[0]
    of_command_line = package == "codec" and (module.parts[1] == "cli" or module.name.startswith("cli"))
    return MAY_IMPORT[package] | {package} | ({"splat"} if of_command_line or module.name == "splat_cli.py" else set())


def forbidden(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Calls that would run or unpickle what a file says, as (line, name)."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id in ("eval", "exec", "__import__"):
            yield node.lineno, node.id
        if isinstance(node, ast.Attribute) and ast.unparse(node) == "torch.load":
            yield node.lineno, "torch.load"
        if isinstance(node, ast.keyword) and node.arg == "allow_pickle" and ast.unparse(node.value) != "False":
            yield node.value.lineno, "allow_pickle"


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_imports_only_what_lies_below(module: Path) -> None:
    above = {*PACKAGES, "tests"} - allowed(module)
    wrong = [f"line {line}: {name}" for line, name in imports(module, tree_of(module)) if name.split(".")[0] in above]
    assert not wrong, f"{module} may not import {wrong}"


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_runs_nothing_that_a_file_says(module: Path) -> None:
    tree = tree_of(module)
    wrong = list(forbidden(tree))
    for line, name in imports(module, tree):
        if name.split(".")[0] in UNPICKLERS or name == "torch.load":
            wrong.append((line, name))
    assert not wrong, f"{module}: {wrong}"


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_module_is_short_and_says_what_it_does(module: Path) -> None:
    assert ast.get_docstring(tree_of(module)), f"{module} has no docstring"
    assert len((ROOT / module).read_text(encoding="utf-8").splitlines()) <= LINES_MAX


def test_rules_catch_what_they_forbid() -> None:
    source = "from .. import splat\nimport splat.model\nfrom ..bench import x\nfrom .frames import y\n"
    names = [name for _, name in imports(Path("codec/sub/module.py"), ast.parse(source))]
    assert names == ["codec.splat", "splat.model", "codec.bench.x", "codec.sub.frames.y"]
    assert list(imports(Path("codec/module.py"), ast.parse("from .frames import y"))) == [(1, "codec.frames.y")]
    calls = "eval('1')\nnet.eval()\ntorch.load(f)\nexec(s)\nnp.load(f, allow_pickle=True)\n"
    assert sorted(forbidden(ast.parse(calls))) == [(1, "eval"), (3, "torch.load"), (4, "exec"), (5, "allow_pickle")]
    assert "splat" in allowed(Path("codec/cli/main.py")) & allowed(Path("codec/cli/splat.py"))
    assert "splat" not in allowed(Path("codec/film/encode.py"))


@pytest.mark.parametrize("package", PACKAGES)
def test_package_has_a_docstring(package: str) -> None:
    assert ast.get_docstring(tree_of(Path(package, "__init__.py")))


@pytest.mark.parametrize("module", TESTS, ids=str)
def test_every_test_file_asserts(module: Path) -> None:
    assert any(isinstance(node, ast.Assert) for node in ast.walk(tree_of(module)))


def test_no_path_of_one_machine() -> None:
    try:
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=ROOT, capture_output=True, check=True, text=True,
        )  # fmt: skip
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout")
    folders = re.compile(rb"(?<![\w.:/*<>-])/(?:home|root|tmp|work|Users)\b")
    found = []
    for name in filter(None, listed.stdout.split("\0")):
        data = (ROOT / name).read_bytes() if (ROOT / name).is_file() else b""
        if b"\0" not in data:
            found += [f"{name}:{n}" for n, line in enumerate(data.splitlines(), 1) if folders.search(line)]
    assert not found


def test_ci_runs_the_test_line_of_the_readme() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    lines = [line for line in readme if line.startswith("pip install") and "pytest" in line]
    assert len(lines) == 1
    script = ROOT / ".ci" / "run"
    steps = script.read_text(encoding="utf-8").splitlines()
    assert steps.count(lines[0]) == 1
    assert steps[-1] == lines[0], "the script ends with the line, so its exit status is the line's"
    assert "set -euo pipefail" in steps
    assert script.stat().st_mode & 0o111
