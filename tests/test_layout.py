"""The rules that a program can check: who imports whom, what no module may do, that CI runs the README's line.

The rules on imports are the tables below. A room is a folder of modules, or a few modules of one; every import counts,
those inside functions too, but for what decodes: there it is what a fresh process has loaded once it has decoded.
"""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from collections import deque
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("bench", "codec", "heads", "samples", "splat")
LINES_MAX, CLASS_MAX, FUNCTION_MAX = 600, 200, 60
UNPICKLERS = {"cloudpickle", "dill", "joblib", "marshal", "pickle", "shelve"}

# rooms that are not simply a folder, by the modules that they hold
GROUND = tuple(f"codec.{name}" for name in ("errors", "frames", "events", "metrics", "machine", "settings", "pipeline"))
ROOMS = {
    "ground": GROUND,
    "codec.limits": ("codec.limits",),
    "codec.pillow": ("codec.pillow",),
    "api": ("codec", "codec.__main__"),
    "bench.ground": tuple(
        f"bench.{name}" for name in ("installation", "method", "process", "results", "sources", "tables")
    ),
    "bench.command": ("bench", "bench.__main__", "bench.cli", "bench.decoders", "bench.lossless", "bench.speed"),
}

DENSITY = (
    *(f"heads.density.{name}" for name in ("cells", "head", "loaded", "spec", "store")),
    *("heads.choice", "heads.exact", "heads.int8", "heads.layers", "heads.threads", "heads.weights"),
)

# what a room may import of the project beside itself: rooms, folders or modules
MAY_IMPORT: dict[str, tuple[str, ...]] = {
    "ground": (),
    "codec.limits": ("ground", "codec.wire.fields"),
    "codec.wire": ("ground",),
    "codec.media": ("ground", "codec.limits", "codec.wire"),
    "codec.base": ("ground", "codec.media.libav", "codec.wire.obu"),
    "codec.loss": ("ground", *DENSITY),
    "codec.segment": ("ground", "codec.limits", "codec.wire", "codec.base", "codec.loss", "heads"),
    "codec.still": ("ground", "codec.limits", "codec.wire", "codec.base", "codec.loss", "heads", "codec.media"),
    "codec.jobs": ("ground", "codec.segment", "codec.wire", "codec.media.source", "codec.media.folders", "heads"),
    "codec.film": (
        "ground",
        "codec.limits",
        "codec.jobs",
        "codec.segment",
        "codec.media",
        "codec.wire",
        "codec.base",
        "codec.loss.modes",
    ),
    "codec.web": ("ground", "codec.limits", "codec.wire", "codec.media", "codec.film", "heads.restorer.store"),
    "codec.train": ("ground", "codec.segment", "codec.still", "codec.base", "codec.media", "codec.loss", "heads"),
    "codec.pillow": ("ground", "codec.limits", "codec.still", "codec.wire", "codec.media"),
    "api": ("ground", "codec.limits", "codec.film", "codec.still", "codec.media.pictures", "codec.cli.entry"),
    "codec.cli": ("ground", "codec", "heads", "splat"),
    "heads": (),
    "samples": (),
    "splat": (),
    "bench.ground": ("codec",),
    "bench.lzma": ("bench.ground", "codec"),
    "bench.methods": (
        "bench.ground",
        "bench.lzma",
        "api",
        "ground",
        "codec.media.libav",
        "codec.segment.scenes",
        "splat",
    ),
    "bench.measure": ("bench.ground", "bench.methods", "codec"),
    "bench.show": ("bench.ground", "codec"),
    "bench.checks": ("bench.ground", "bench.measure", "bench.show", "codec", "heads", "samples", "splat"),
    "bench.command": ("bench", "codec"),
}

# libraries that only some rooms or modules may import
ONLY_IN = {
    "av": (
        "codec.media",
        "codec.base.av1",
        "codec.film.reader",
        "codec.film.writer",
        "codec.train",
        "codec.jobs.store",
        "bench",
        "samples",
    ),
    "click": ("codec.cli", "bench", "samples", "splat.train"),
    "distributed": ("codec.jobs.cluster",),
}
NEVER_IN = {"torch": ("codec.wire", "codec.media")}

# what decodes, and what it must never reach: what encodes, what learns, the command line
DECODES = (
    "codec.film.film", "codec.film.reader", "codec.film.info", "codec.segment.decoder", "codec.still.decode",
    "codec.web.player", "codec.web.mpv",
)  # fmt: skip
ENCODES = (
    "codec.segment.encoder", "codec.segment.passes", "codec.segment.choice", "codec.segment.fit_restorer",
    "codec.segment.fit_density", "codec.segment.fit_steering", "codec.segment.presets", "codec.segment.rate",
    "codec.segment.scenes", "codec.still.encode", "codec.still.presets", "codec.base.quantisers", "codec.base.search",
    "codec.loss.transform_fit", "codec.jobs",
    "codec.train", "codec.cli", "heads.loop", "heads.restorer.fit", "heads.restorer.model", "heads.restorer.pretrain",
    "heads.adam", "heads.block", "heads.captured", "heads.twin", "heads.restorer.last", "heads.density.fit",
    "heads.density.model", "click", "distributed",
)  # fmt: skip

MODULES = sorted(path.relative_to(ROOT) for name in PACKAGES for path in (ROOT / name).rglob("*.py"))
TESTS = sorted(path.relative_to(ROOT) for path in (ROOT / "tests").rglob("test_*.py"))


def name_of(module: Path) -> str:
    """The dotted name of a module."""
    parts = module.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


PATHS = {name_of(module): module for module in MODULES}


@cache
def tree_of(module: Path) -> ast.Module:
    return ast.parse((ROOT / module).read_text(encoding="utf-8"), filename=str(module))


def imports(module: Path, tree: ast.Module, inside: bool = True) -> Iterator[tuple[int, str]]:
    """Every imported name as (line, full dotted name), relative ones resolved; those `inside` functions too."""
    package = module.parent.parts
    for node in ast.walk(tree) if inside else at_top(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            stem = ".".join([*base, *([node.module] if node.module else [])])
            yield from ((node.lineno, f"{stem}.{alias.name}".strip(".")) for alias in node.names)


def at_top(tree: ast.AST) -> Iterator[ast.AST]:
    """The nodes that run when a module is imported: no bodies of functions, nothing for type checkers alone."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            continue
        yield node
        yield from at_top(node)


def module_named(name: str) -> str | None:
    """The module of the project that an imported name is, or lies in; None for a library."""
    if name.split(".")[0] not in PACKAGES:
        return None
    while name not in PATHS:
        name = name.rpartition(".")[0]
    return name


def within(module: str, places: Iterable[str]) -> bool:
    """Whether a module is one of `places`, or lies in one: rooms, folders or modules."""
    room = room_of(module)
    return any(module == place or module.startswith(f"{place}.") or room == place for place in places)


def room_of(module: str) -> str:
    """The room that holds a module."""
    for room, modules in ROOMS.items():
        if module in modules:
            return room
    while module not in MAY_IMPORT:
        module = module.rpartition(".")[0]
    return module


def strangers(module: Path, tree: ast.Module) -> Iterator[tuple[int, str]]:
    """What a module imports and may not, as (line, name)."""
    own = name_of(module)
    room = room_of(own)
    for line, name in imports(module, tree):
        root, target = name.split(".")[0], module_named(name)
        if root == "tests":
            yield line, name
        elif target is not None:
            folder = target.startswith(f"{room}.") and room_of(target) == room
            if not (target == own or room_of(target) == room or folder or within(target, MAY_IMPORT[room])):
                yield line, name
        elif (root in ONLY_IN and not within(own, ONLY_IN[root])) or within(own, NEVER_IN.get(root, ())):
            yield line, name


@cache
def loaded_by(module: str) -> tuple[str, ...]:
    """Modules and libraries that a module imports when it is imported itself."""
    names = (name for _, name in imports(PATHS[module], tree_of(PATHS[module]), inside=False))
    return tuple(dict.fromkeys(module_named(name) or name.split(".")[0] for name in names))


def way(first: str, goal: str) -> str:
    """How importing one module comes to import another: the shortest chain of names."""
    before: dict[str, str | None] = {first: None}
    waiting = deque([first])
    while waiting and goal not in before:
        here = waiting.popleft()
        for target in loaded_by(here):
            if target not in before:
                before[target] = here
                if target in PATHS:
                    waiting.append(target)
    chain: list[str] = []
    step = goal if goal in before else None
    while step is not None:
        chain.append(step)
        step = before[step]
    return " -> ".join(reversed(chain))


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
    wrong = [f"line {line}: {name}" for line, name in strangers(module, tree_of(module))]
    assert not wrong, f"{module}, of the room {room_of(name_of(module))}, may not import {wrong}"


def test_no_two_rooms_import_each_other() -> None:
    """By what modules import when they are imported themselves; a circle would show in the order of imports."""
    reached: dict[str, set[str]] = {}
    for module in MODULES:
        room = room_of(name_of(module))
        for target in loaded_by(name_of(module)):
            if target in PATHS and room_of(target) != room:
                reached.setdefault(room, set()).add(room_of(target))
    for room in reached:
        found, waiting = set(), list(reached[room])
        while waiting:
            if (here := waiting.pop()) not in found:
                found.add(here)
                waiting += reached.get(here, ())
        assert room not in found, f"{room} is imported by what it imports: {sorted(found)}"


@pytest.mark.parametrize("first", DECODES)
def test_what_decodes_does_not_import_what_encodes(first: str) -> None:
    for module in PATHS:
        if within(module, ENCODES):
            chain = way(first, module)
            assert not chain, f"what decodes imports what encodes or learns: {chain}"


PROGRAM = """
import json, sys
import codec
films, stills = json.loads(sys.argv[1])
shown = [len(next(codec.open(name, device="cpu").frames()).planes) for name in films]
shown += [codec.decode_still(open(name, "rb").read()).pixels.size for name in stills]
print(json.dumps([shown, sorted(sys.modules)]))
"""


def test_decoding_loads_nothing_that_encodes() -> None:
    """In a fresh process, over golden files of every kind: films with heads, history and each loss-stream, stills."""
    golden = ROOT / "tests" / "golden"
    names = sorted(map(str, golden.glob("*.nvc")))
    stills = [name for name in names if name.endswith(".still.nvc")]
    films = [name for name in names if name not in stills]
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM, json.dumps([films, stills])], cwd=ROOT, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr
    shown, loaded = json.loads(ran.stdout)
    assert len(shown) == len(names) and all(shown)
    wrong = [name for name in loaded if any(name == bad or name.startswith(f"{bad}.") for bad in ENCODES)]
    ways = [next(filter(None, (way(first, name) for first in DECODES)), name) for name in wrong]
    assert not wrong, f"decoding loaded {ways}"


def private_names(module: Path, tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Names with a leading underscore that a module takes from another module of the project, as (line, name)."""
    for line, name in imports(module, tree):
        last = name.rpartition(".")[2]
        if module_named(name) is not None and last.startswith("_") and not last.startswith("__"):
            yield line, name
    taken = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    for node in ast.walk(tree):
        private = isinstance(node, ast.Attribute) and node.attr.startswith("_") and not node.attr.startswith("__")
        if private and isinstance(node.value, ast.Name) and node.value.id in taken:
            yield node.value.lineno, ast.unparse(node)


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_what_is_private_stays_in_its_module(module: Path) -> None:
    found = list(private_names(module, tree_of(module)))
    assert not found, f"{module} uses {found}"


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_runs_nothing_that_a_file_says(module: Path) -> None:
    tree = tree_of(module)
    wrong = list(forbidden(tree))
    for line, name in imports(module, tree):
        if name.split(".")[0] in UNPICKLERS or name == "torch.load":
            wrong.append((line, name))
    assert not wrong, f"{module}: {wrong}"


def long_ones(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Classes and functions that are longer than a reader takes in, with their lines."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            assert node.end_lineno is not None
            lines = node.end_lineno - node.lineno + 1
            if lines > (CLASS_MAX if isinstance(node, ast.ClassDef) else FUNCTION_MAX):
                yield node.name, lines


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_module_is_short_and_says_what_it_does(module: Path) -> None:
    assert ast.get_docstring(tree_of(module)), f"{module} has no docstring"
    assert len((ROOT / module).read_text(encoding="utf-8").splitlines()) <= LINES_MAX
    assert not list(long_ones(tree_of(module))), f"{module} holds something that is too long"


def test_rules_catch_what_they_forbid() -> None:
    source = "from .. import splat\nimport splat.model\nfrom ..bench import x\nfrom .frames import y\n"
    names = [name for _, name in imports(Path("codec/sub/module.py"), ast.parse(source))]
    assert names == ["codec.splat", "splat.model", "codec.bench.x", "codec.sub.frames.y"]
    assert list(imports(Path("codec/module.py"), ast.parse("from .frames import y"))) == [(1, "codec.frames.y")]
    calls = "eval('1')\nnet.eval()\ntorch.load(f)\nexec(s)\nnp.load(f, allow_pickle=True)\n"
    assert sorted(forbidden(ast.parse(calls))) == [(1, "eval"), (3, "torch.load"), (4, "exec"), (5, "allow_pickle")]
    long = ast.parse("def f():\n" + "    pass\n" * FUNCTION_MAX)
    assert list(long_ones(long)) == [("f", FUNCTION_MAX + 1)]


@pytest.mark.parametrize(
    ("module", "line"),
    [
        ("codec/film/film.py", "import splat"),
        ("codec/film/film.py", "import click"),
        ("codec/film/film.py", "from ..cli.console import Console"),
        ("codec/wire/obu.py", "import torch"),
        ("codec/wire/obu.py", "import av"),
        ("codec/wire/obu.py", "from ..media.files import read_bytes"),
        ("codec/segment/decoder.py", "from ..still.decode import decode_still"),
        ("codec/still/decode.py", "from ..segment.restore import Restorer"),
        ("codec/frames.py", "from .wire.fields import PIXELS_MAX"),
        ("heads/layers.py", "from codec.frames import Plane"),
        ("splat/atoms.py", "import codec"),
        ("codec/film/film.py", "from tests.makers import drawn_frames"),
        ("bench/methods/nvc.py", "from codec.segment.encoder import SegmentEncoder"),
        ("codec/film/encode.py", "def f():\n    from distributed import Client"),
    ],
)
def test_rules_find_a_stranger(module: str, line: str) -> None:
    assert list(strangers(Path(module), ast.parse(line)))


def test_rules_know_the_way() -> None:
    assert way("codec.film.encode", "codec.segment.encoder").startswith("codec.film.encode -> ")
    assert way("codec.film.encode", "codec.segment.encoder").endswith(" -> codec.segment.encoder")
    assert way("codec.frames", "codec.segment.encoder") == ""
    assert "splat" in MAY_IMPORT["codec.cli"] and not within("splat", MAY_IMPORT["codec.film"])


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
