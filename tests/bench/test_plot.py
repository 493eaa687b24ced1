"""rd.png and rd.svg: what is drawn, and that nothing goes unseen or depends on the day."""

from __future__ import annotations

import sys

import pytest

from bench.process import BenchError
from bench.show import plot
from bench.show.curves import Line, Panel

ABOUT = "64x64, 10 frames, 1 s"


def record(rate, quality, **fields):
    return {"setting": 1, "kbps": rate, "psnr_yuv": quality, "identical": 0, "frames": 10, "worst": 9} | fields


def panel(*lines, clip="clip"):
    return Panel(clip, ABOUT, "kbps", "psnr_yuv", lines)


LOSSY = Line("lossy", (record(100, 30.0), record(200, 34.0), record(400, 38.0)))
EXACT = Line("exact", (record(150, 33.0), record(3000, 100.0, identical=10, worst=0)))
PUBLISHED = Line("Published", ({"kbps": 90, "psnr_yuv": 29.0}, {"kbps": 500, "psnr_yuv": 40.0}), reference="a paper")


@pytest.fixture
def figures(monkeypatch):
    """The figures that are drawn."""
    found = []
    figure = pytest.importorskip("matplotlib.figure").Figure
    save = figure.savefig
    monkeypatch.setattr(figure, "savefig", lambda self, *a, **k: (found.append(self), save(self, *a, **k))[1])
    return found


def texts(axes):
    return [text.get_text() for text in axes.texts]


def test_files_are_the_same_each_time(tmp_path, figures):
    panels = [panel(LOSSY, EXACT, PUBLISHED), panel(LOSSY, clip="other")]
    drawn = []
    for _ in range(2):
        plot.draw(panels, tmp_path)
        drawn.append((tmp_path / "rd.svg").read_bytes())
    assert drawn[0] == drawn[1] and b"<dc:date>" not in drawn[0]
    assert (tmp_path / "rd.png").read_bytes().startswith(b"\x89PNG")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["rd.png", "rd.svg"]


def test_lossless_point_neither_stretches_the_scale_nor_goes_unseen(tmp_path, figures):
    plot.draw([panel(LOSSY, EXACT)], tmp_path)
    axes = figures[0].axes[0]
    assert axes.get_ylim()[1] < 40
    assert "∞ at 3,000" in texts(axes)


def test_point_above_the_ceiling_is_named_with_its_quality(tmp_path, figures):
    plot.draw([panel(LOSSY, Line("near", (record(900, 72.25, identical=9),)))], tmp_path)
    assert figures[0].axes[0].get_ylim()[1] < 40
    assert "72.2 dB at 900" in texts(figures[0].axes[0])


@pytest.mark.parametrize("lines", [
    (), (Line("exact", EXACT.records[1:]),), (Line("one", LOSSY.records[:1]),), (PUBLISHED,),
    (Line("broken", ({"setting": 3, "frames": 10, "error": "it failed"},)), LOSSY),
])  # fmt: skip
def test_panel_with_few_points_is_drawn(tmp_path, figures, lines):
    plot.draw([panel(*lines)], tmp_path)
    words = texts(figures[0].axes[0])
    assert "clip" in words and ABOUT in words
    assert ("no point: broken" in words) == any(line.method == "broken" for line in lines)
    assert ("Published" in words) == (PUBLISHED in lines)


def test_method_looks_the_same_in_every_panel_and_unlike_others():
    names = [f"method {k}" for k in range(14)]
    lines = [Line(name, LOSSY.records) for name in names]
    found = plot.looks([panel(*lines[:3], PUBLISHED), panel(*reversed(lines))])
    assert set(found) == set(names) and list(found)[:3] == names[:3]
    assert len(set(found.values())) == 14
    assert found == plot.looks([panel(*lines[:3]), panel(*reversed(lines))])


@pytest.mark.parametrize(("low", "high"), [(60, 8000), (0.04, 12), (100, 130), (1, 1e6), (350, 999)])
def test_ticks_of_a_rate_are_few_and_round(low, high):
    ticks = plot.rate_ticks(low, high, 9)
    assert 2 <= len(ticks) <= 9 and all(low <= tick <= high for tick in ticks)
    assert all(len(f"{tick:e}".split("e")[0].rstrip("0")) <= 4 for tick in ticks)


def test_names_are_shown_as_they_are(tmp_path, figures):
    line = Line("_a$b$", LOSSY.records)
    plot.draw([panel(line, clip="$x_1$")], tmp_path)
    assert [text.get_text() for text in figures[0].legends[0].get_texts()] == ["_a$b$"]
    assert "$x_1$" in texts(figures[0].axes[0])


def test_without_matplotlib_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(BenchError, match="pip install"):
        plot.draw([panel(LOSSY)], tmp_path)
    assert not list(tmp_path.iterdir())
