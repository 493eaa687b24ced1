"""Checks of the codec alone: each module of this folder is one, and its `main` is the command `bench check NAME`.

The first line of a module says what it asks, and is what `bench check --help` shows of it. A module is imported when
its command is called for, so that the list does not wait for torch.
"""

from __future__ import annotations

import ast
from importlib import import_module
from pathlib import Path

import click

HERE = Path(__file__).parent


def module_of(name: str) -> Path | None:
    """Where the check of a command's name lies; None where there is none."""
    word = name.replace("-", "_")
    places = (HERE / f"{word}.py", HERE / word / "__init__.py")
    return next((path for path in places if word.isidentifier() and word != "__init__" and path.is_file()), None)


def names() -> list[str]:
    """The names of all checks, as commands."""
    found = {path.stem for path in HERE.iterdir() if not path.name.startswith(("_", "."))}
    return sorted(name.replace("_", "-") for name in found if module_of(name))


def line_about(path: Path) -> str:
    """The first line of a module."""
    return (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").partition("\n")[0]


class Checks(click.Group):
    """The checks as commands of a group."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return names()

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if module_of(cmd_name) is None:
            return None
        command: click.Command = import_module(f".{cmd_name.replace('-', '_')}", __name__).main
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Checks"):
            formatter.write_dl([(name, line_about(path)) for name in names() if (path := module_of(name))])
