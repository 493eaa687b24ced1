"""The public API: every name is there, has one home, and costs nothing before it is asked for."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import codec

PACKAGE = Path(codec.__file__).parent
MODULES = {path.stem for path in PACKAGE.iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file()}


@pytest.mark.parametrize("name", codec.__all__)
def test_every_name_is_there(name: str) -> None:
    found = getattr(codec, name)
    assert callable(found)
    assert found.__module__.startswith("codec.")
    assert inspect.getdoc(found), f"{name} is not explained"
    assert name in dir(codec)


def test_no_function_has_the_name_of_a_module() -> None:
    assert {"errors", "film", "still", "cli"} <= MODULES
    assert not MODULES & set(codec.__all__)


def test_films_are_opened_by_their_class() -> None:
    assert codec.open is codec.Film


def test_what_is_not_there_is_said_as_python_says_it() -> None:
    with pytest.raises(AttributeError, match="module 'codec' has no attribute 'transcode'"):
        codec.transcode  # noqa: B018
    with pytest.raises(ImportError, match="cannot import name 'transcode'"):
        from codec import transcode  # noqa: F401


def test_types_are_those_that_are_imported() -> None:
    """What a type checker reads is what `__getattr__` gives."""
    tree = ast.parse((PACKAGE / "__init__.py").read_text(encoding="utf-8"))
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    seen = {}
    for node in block.body:
        assert isinstance(node, ast.ImportFrom)
        seen |= {alias.asname or alias.name: (node.module, alias.name) for alias in node.names}
    assert sorted(seen) == sorted(codec.__all__)
    for name, (module, own) in seen.items():
        assert getattr(codec, name) is getattr(sys.modules[f"codec.{module}"], own)


def test_importing_it_loads_no_library() -> None:
    code = "import codec, sys; print({'av', 'click', 'cv2', 'numpy', 'torch'} & sys.modules.keys())"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "set()\n"
