"""What several tests of the harness need."""

from __future__ import annotations

import sys

import pytest

from bench.cli import main


@pytest.fixture
def bench(monkeypatch, capfd):
    """Runs the command line in this process: (exit code, what it printed)."""

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["bench", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            main()
        out, err = capfd.readouterr()
        assert "Traceback" not in err and "internal fault" not in err
        return end.value.code, out + err

    return call
