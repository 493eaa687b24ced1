"""What the documents say of the code: constants and their homes, sections that are named, commands that there are."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from bench import checks
from bench.cli import cli
from bench.process import ROOT

NOTES = (ROOT / "bench" / "NOTES.md").read_text(encoding="utf-8")
SECTIONS = re.findall(r"^#{2,3} (.+)$", NOTES, re.MULTILINE)
ROW = re.compile(r"^\| `(\w+)` \| (.+?) \| `([\w/]+\.py)` \| (.+?) \|$", re.MULTILINE)
ROWS = ROW.findall(NOTES)
DOCUMENTS = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "bench/NOTES.md")


def constants(path: Path) -> dict[str, ast.expr]:
    """What a module gives to names at its top, as it is written."""
    found: dict[str, ast.expr] = {}
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value:
            found[node.target.id] = node.value
        for target in node.targets if isinstance(node, ast.Assign) else ():
            if isinstance(target, ast.Name):
                found[target.id] = node.value
            elif isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
                pairs = zip(target.elts, node.value.elts, strict=True)
                found |= {name.id: value for name, value in pairs if isinstance(name, ast.Name)}
    return found


@pytest.mark.parametrize("name, value, home, sections", ROWS, ids=[f"{row[0]} of {row[2]}" for row in ROWS])
def test_measured_constant_is_at_home_with_its_value(name: str, value: str, home: str, sections: str) -> None:
    written = constants(ROOT / home)
    assert name in written, f"{home} has no {name}"
    if isinstance(written[name], ast.Constant | ast.UnaryOp | ast.BinOp | ast.Tuple):
        assert ast.unparse(written[name]) == value
    assert set(sections.split("; ")) <= set(SECTIONS)


def test_table_of_constants_was_found() -> None:
    assert len(ROWS) > 20 and "WORTH" in {row[0] for row in ROWS}
    assert len(SECTIONS) == len(set(SECTIONS)), "a section can be named"


def test_code_that_refers_to_the_notes_names_a_section() -> None:
    found = []
    for package in ("bench", "codec", "heads", "samples", "splat"):
        for path in (ROOT / package).rglob("*.py"):
            words = re.sub(r"\n\s*(# )?", " ", path.read_text(encoding="utf-8"))
            found += [(path.name, said) for said in re.findall(r"bench/NOTES\.md(.{0,50})", words)]
    wrong = [one for one in found if not (named := re.match(r', "([^"]+)"', one[1])) or named[1] not in SECTIONS]
    assert len(found) > 3 and not wrong


@pytest.mark.parametrize("document", DOCUMENTS)
def test_commands_of_the_documents_exist(document: str) -> None:
    text = (ROOT / document).read_text(encoding="utf-8")
    assert not re.search(r"python -m bench\.", text)
    for module in re.findall(r"python -m ((?:codec|splat|samples)[\w.]*)", text):
        path = ROOT / module.replace(".", "/")
        assert path.with_suffix(".py").is_file() or (path / "__main__.py").is_file(), module
    for command, check in re.findall(
        r"\bbench (rd-curve|images|lossless|speed|report|methods|check)\b(?: ([\w-]+))?", text
    ):
        assert command in cli.commands
        assert command != "check" or check in {*checks.names(), "NAME", "--help"}, check
