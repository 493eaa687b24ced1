"""The checks of the codec as commands: every module is one, and their list does without what they need."""

from __future__ import annotations

import ast
import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from bench import checks
from bench.cli import cli
from bench.process import ROOT

NAMES = checks.names()


def shown(*words: str) -> str:
    result = CliRunner().invoke(cli, words)
    assert result.exit_code == 0, result.output
    return result.output


def test_every_module_is_a_check_and_named_with_its_line() -> None:
    folder = ROOT / "bench" / "checks"
    modules = [p for p in folder.iterdir() if p.suffix == ".py" or (p / "__init__.py").exists()]
    assert {p.stem for p in modules} - {"__init__"} == {name.replace("-", "_") for name in NAMES}
    assert {"exact", "film", "heads", "interrupt", "long-film", "memory", "seams", "upscale"} <= {*NAMES}
    text = " ".join(shown("check", "--help").split())
    for name in NAMES:
        path = checks.module_of(name)
        assert path is not None
        line = (ast.get_docstring(ast.parse(path.read_text())) or "").partition("\n")[0]
        assert line and f" {name} {line}" in text
        assert line[-1] in ".?", f"the first line of {path} is a whole sentence"


@pytest.mark.parametrize("name", NAMES)
def test_every_check_says_what_it_takes(name: str) -> None:
    text = shown("check", name, "--help")
    assert text.startswith(f"Usage: cli check {name} ") and "--help" in text
    command = cli.commands["check"].get_command(click.Context(cli), name)
    assert command is not None and command.help


def test_a_group_of_checks_names_its_commands() -> None:
    assert {"make", "measure"} <= {*shown("check", "long-film", "--help").split()}
    assert "--seeks" in shown("check", "long-film", "measure", "--help")


@pytest.mark.parametrize("name", ["nothing", "__init__", "long_film/making", "../cli"])
def test_what_is_no_check_is_wrong_usage(name: str) -> None:
    result = CliRunner().invoke(cli, ["check", name])
    assert result.exit_code == 2 and "No such command" in result.output


def test_lists_of_commands_do_not_wait_for_torch() -> None:
    code = (
        "import sys; from click.testing import CliRunner; from bench.cli import cli\n"
        "for words in (['--help'], ['check', '--help'], ['rd-curve', '--help']):\n"
        "    assert CliRunner().invoke(cli, words).exit_code == 0\n"
        "print(*{'torch', 'numpy', 'av', 'cv2'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == ""


def test_sizes_of_measured_memory_are_two_numbers() -> None:
    assert CliRunner().invoke(cli, ["check", "memory", "--size", "big"]).exit_code == 2
