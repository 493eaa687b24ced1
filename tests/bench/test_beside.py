"""Another installation of NVC beside this one: a copy that is this one again, run as if it were another."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from bench import decoders
from bench.checks.start import commands
from bench.installation import HERE, Installation, installation, installations
from bench.measure import machine
from bench.measure.point import measure, point
from bench.method import Film
from bench.methods import find
from bench.process import ROOT, BenchError, limited
from bench.sources import open_clip
from bench.speed import held, times

GOLDEN = ROOT / "tests" / "golden"
OLD = Installation("old", sys.executable, str(ROOT))


def rows(text):
    """The cells of a table's rows, by the first of them."""
    lines = [[cell.strip() for cell in line.strip("| ").split("|")] for line in text.splitlines() if line[:1] == "|"]
    return {line[0]: line[1:] for line in lines}


def test_installation_is_an_interpreter_or_a_folder():
    assert installation(f"old={ROOT}") == OLD
    assert installation(f"a={sys.executable}") == Installation("a", os.path.abspath(sys.executable), None)
    assert installations([f"old={ROOT}"]) == {"old": OLD}


@pytest.mark.parametrize("text, said", [
    ("old", "does not have the form NAME=PLACE"),
    ("3=python", "does not have the form NAME=PLACE"),
    (f"here={ROOT}", "the name of this installation"),
    (f"old={ROOT / 'tests'}", "neither an interpreter nor a folder"),
    ("old=no/such/python", "neither an interpreter nor a folder"),
])  # fmt: skip
def test_what_is_no_installation_is_refused(text, said):
    with pytest.raises(BenchError, match=said):
        installation(text)


def test_installations_have_different_names():
    with pytest.raises(BenchError, match="two installations are called old"):
        installations([f"old={ROOT}", f"old={ROOT}"])


def test_an_installation_finds_its_own_copy(tmp_path, monkeypatch):
    """Neither the folder at hand nor the path of this process leads another installation to this copy."""
    package = tmp_path / "other" / "codec"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("WHO = 'other'\n")
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    other = installation(f"other={tmp_path / 'other'}")
    assert other.run("import codec; print(codec.WHO)", name="who").out.strip() == "other"
    with pytest.raises(BenchError, match=r"^who: ImportError"):
        other.run("from codec import Film", name="who")


def test_method_beside_tells_what_its_code_is():
    mine, other = find("video", "ffv1"), find("video", "ffv1@old", {"old": OLD})
    assert (other.name, other.own_name, other.kind) == ("ffv1@old", "ffv1", "video")
    assert (other.settings, other.version(), other.versions()) == (mine.settings, mine.version(), mine.versions())
    assert (other.knob, other.lossless, other.installation) == (mine.knob, mine.lossless, OLD)
    with pytest.raises(BenchError, match="own installation alone"):
        other.decode(b"")
    with pytest.raises(BenchError, match="there is no installation 'old'"):
        find("video", "ffv1@old")
    with pytest.raises(BenchError, match="nvc@old:speed=1: nvc:speed=1: nvc has no option speed"):
        find("video", "nvc@old:speed=1", {"old": OLD})


def test_point_of_a_method_beside(make_film):
    """Its steps run there, and its points are none of the method's here."""
    with open_clip(str(make_film("a.mkv")), 2) as film:
        assert isinstance(film, Film)
        record = measure(find("video", "ffv1@old", {"old": OLD}), "a", film, 0.0)
        assert record["identical"] == record["frames"] == 2 and record["encode_s"] > 0
        assert record["method"] == "ffv1@old" != point(find("video", "ffv1"), "a", film, 0.0)["method"]


def test_methods_of_two_installations_in_one_table(bench, make_film):
    methods = "nvc:preset=fast:head=off@40,nvc@old:preset=fast:head=off@40"
    code, text = bench("speed", make_film("a.mkv"), "--frames", 2, "--runs", 1, "--methods", methods, "--beside",
                       f"old={ROOT}", "--isa", "avx2")  # fmt: skip
    assert code == 0, text
    found = rows(text)
    mine, other = found["nvc:preset=fast:head=off"], found["nvc@old:preset=fast:head=off"]
    assert mine[:3] == other[:3] and mine[0] == "40", "the same code makes the same bytes"
    assert mine[5] == "1.00" and float(other[6].replace(",", "")) > 0
    assert "ONEDNN_MAX_CPU_ISA=AVX2" in text and "torch" in text


def test_decoders_of_two_installations_in_one_table(bench):
    code, text = bench("speed", GOLDEN / "shipped-v1.nvc", "--beside", f"old={ROOT}", "--runs", 1, "--threads", 1)
    assert code == 0, text
    found = rows(text)
    assert found["here"][:2] == found["old"][:2] and len(found["here"]) == len(decoders.HEAD) - 1
    assert float(found["here"][4]) == 1 and int(found["here"][0]) > 0


def test_decoder_of_a_still_tells_its_time():
    found = decoders.decode_once(OLD, str(GOLDEN / "lossy-v1.still.nvc"), {}, {}, check=False)
    assert found["frames"] == 1 and 0 < found["first"] <= found["seconds"] < found["whole"]
    assert found["warm"] > 0 and found["processor"] > 0


def test_pictures_that_differ_are_an_error(monkeypatch):
    def decoded(one, *job, check):
        return {"frames": 3, "crc": one.name, "libraries": {}}

    monkeypatch.setattr(decoders, "decode_once", decoded)
    with pytest.raises(BenchError, match=r"differ .here: 3 pictures, here; old"):
        decoders.compare_decoders("a.nvc", [HERE, OLD], 1, {}, {}, print)


def test_ratios_are_taken_within_a_run():
    mine = [{"encode": (seconds, 2 * seconds, 1 << 30)} for seconds in (1.0, 8.0, 3.0)]
    anchor = [{"encode": (seconds, seconds, 0)} for seconds in (1.0, 2.0, 3.0)]
    assert times("encode", mine, anchor, 6) == ["3.00", "2.0", "1.00", "6.00", "2.00", "1.00"]


@pytest.mark.parametrize("words, code, said", [
    (("a.mkv", "--threads", 1), 2, "--threads does not go with this clip"),
    (("a.nvc", "--methods", "x264"), 2, "--methods does not go with this clip"),
    (("a.nvc", "--cores", "first"), 2, "'first' is no list of processors"),
    (("a.nvc", "--cores", "99999"), 1, "processor"),
    (("a.nvc", "--beside", "old"), 2, "does not have the form NAME=PLACE"),
    (("a.mkv", "--methods", ","), 2, "no method is named"),
    (("a.mkv", "--methods", "nvc@old:preset=fast"), 2, "'old:preset=fast' is no setting"),
    (("a.nvc",), 1, "a.nvc by here: "),
])  # fmt: skip
def test_what_cannot_be_compared_is_one_sentence(bench, tmp_path, words, code, said):
    for name in ("a.mkv", "a.nvc"):
        (tmp_path / name).write_text("nothing")
    found, text = bench("speed", tmp_path / words[0], *words[1:])
    assert (found, text.splitlines()[-1].startswith("bench: ")) == (code, True) and said in text.splitlines()[-1]


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="processors cannot be chosen")
def test_processors_are_chosen_for_what_is_started():
    before = os.sched_getaffinity(0)
    with limited([max(before)]):
        assert HERE.run("import os; print(os.sched_getaffinity(0))", name="").out.strip() == f"{{{max(before)}}}"
    assert os.sched_getaffinity(0) == before


def test_libraries_are_held_to_instruction_sets():
    assert held(None, None) == {}
    assert held("sse41", "int8") == {"ONEDNN_MAX_CPU_ISA": "SSE41", "NVC_KERNEL": "int8"}
    assert held("AVX2", None) == {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"}


@pytest.mark.parametrize("told, expected", [
    ("model name\t: A CPU\nflags\t\t: fpu avx2 avx512_vnni\n", "avx2, avx512_vnni"),
    ("Features\t: fp asimddp\n", "asimddp"),
    ("flags : sse2\n", f"none of {', '.join(machine.SETS)}"),
    (None, "instruction sets unknown"),
])  # fmt: skip
def test_machine_says_its_instruction_sets(tmp_path, monkeypatch, told, expected):
    monkeypatch.setattr(machine, "CPUINFO", tmp_path / "cpuinfo")
    if told is not None:
        (tmp_path / "cpuinfo").write_text(told)
    assert machine.instructions() == expected
    assert not told or "model" not in told or "A CPU" in machine.machine()


def test_start_of_stills_and_films_is_measured(tmp_path):
    found = commands([str(GOLDEN / "lossy-v1.still.nvc"), str(GOLDEN / "head-v1.nvc")], str(tmp_path))
    assert "decode" in found["codec decode lossy-v1.still.nvc"]
    assert found["first picture of head-v1.nvc"][-1] == str(GOLDEN / "head-v1.nvc")
    assert Path(found["codec decode lossy-v1.still.nvc"][-2]).parent == tmp_path
    assert len(found) == 9
