"""A method of another installation of NVC: `nvc@old:preset=fast` is `nvc:preset=fast` as the installation `old` has it.

Its steps run there, by the worker of that installation's own `bench`, which also says what the method's settings are
and what its bytes depend on: a finished point of one code is never taken for that of another.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, ClassVar

from ..installation import Installation
from ..method import Kind, Knob, Method, Picture, Source
from ..process import BenchError

ABOUT = """
import json, sys
from dataclasses import asdict
from bench.methods import find
from bench.process import BenchError
try:
    method = find(*sys.argv[1:])
except BenchError as error:
    sys.exit(str(error))
print(json.dumps({
    "settings": method.settings, "knob": method.knob and asdict(method.knob), "lossless": method.lossless,
    "version": method.version(), "versions": method.versions(),
}))
"""


class Beside(Method):
    """The method `own_name` of another installation, named `name` here. Raises BenchError where it has none."""

    def __init__(self, name: str, own_name: str, installation: Installation):
        self.name, self._own_name, self.installation = name, own_name, installation
        about = self._asked(installation)
        self.settings, self.lossless = about["settings"], about["lossless"]
        self.knob = None if about["knob"] is None else Knob(**about["knob"])
        self._version, self._versions = about["version"], about["versions"]

    def _asked(self, installation: Installation) -> dict[str, Any]:
        """What the installation says of the method."""
        ran = installation.run(ABOUT, self.kind, self.own_name, name=self.name)
        try:
            about: dict[str, Any] = json.loads(ran.out.splitlines()[-1])
        except (IndexError, ValueError):
            raise BenchError(f"{self.name}: its installation said nothing of it") from None
        return about

    @property
    def own_name(self) -> str:
        return self._own_name

    def encode(self, source: Source, quality: float) -> bytes:
        raise self._elsewhere()

    def decode(self, data: bytes) -> Iterator[Picture]:
        raise self._elsewhere()

    def _elsewhere(self) -> BenchError:
        return BenchError(f"{self.name} runs in its own installation alone")

    def version(self) -> str:
        return str(self._version)

    def versions(self) -> dict[str, str]:
        return dict(self._versions)


class FilmBeside(Beside):
    """One that encodes films."""

    kind: ClassVar[Kind] = "video"


class StillBeside(Beside):
    """One that encodes pictures."""

    kind: ClassVar[Kind] = "image"


BESIDE: dict[Kind, type[Beside]] = {"video": FilmBeside, "image": StillBeside}
