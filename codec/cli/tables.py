"""What is known of files, as people read it: the text that `codec info` and the end of a folder show."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ..settings import SSIM, TARGETS, XPSNR, Settings

if TYPE_CHECKING:
    from ..events import FilmSampled
    from ..film.tracks import TrackState
    from ..still.folder import Folder

COLUMNS = ("start", "frames", "scale", "head", "shape", "history", "loss", "base B", "head B", "loss B", "PSNR")
KINDS = {1: "grey", 2: "grey with alpha", 3: "colour", 4: "colour with alpha"}  # by channels


def clock_text(seconds: float) -> str:
    """A time as people read it, [H:]MM:SS."""
    whole = round(seconds)
    hours = f"{whole // 3600}:" if whole >= 3600 else ""
    return f"{hours}{whole // 60 % 60:02d}:{whole % 60:02d}"


def film_table(found: dict[str, Any]) -> str:
    """What `codec.film.info.describe` found."""
    duration = found["duration"] or 1.0
    place = f" (chroma {found['chroma_place']})" if found["chroma_place"] else ""
    lines = [
        f"{found['path']}: {found['width']}x{found['height']} {found['format']}{place}, {found['rate']} fps, "
        f"{found['frames']} frames, {found['duration']:.3f} s",
        "",
    ]
    for name, size in found["bytes"].items():
        if size or name in ("file", "base"):
            lines.append(f"  {name.replace('_', '-'):12} {size:>12,} B {size * 8 / duration / 1000:10.1f} kbit/s")
    lines += [""] * bool(found["tracks"])
    for track in found["tracks"]:
        what = f"{track['kind']} {track['codec']}".strip()
        lines.append(f"  {what:22} {track['packets']:>8,} packets {track['size']:>12,} B, CRC-32 {track['crc']:08x}")
    if found["tracks_damage"]:
        lines += ["", f"  {found['tracks_damage']}"]
    row = "  {:>9} {:>6} {:>5} {:>10} {:>7} {:>7} {:>9} {:>10} {:>8} {:>10} {:>7}"
    lines += ["", row.format(*COLUMNS)]
    for s in found["segments"]:
        loss = s["loss"]
        if s["loss_step"]:
            loss = f"step {s['loss_step']}"
        elif s["max_error"] is not None:
            loss = "lossless" if s["max_error"] == 0 else f"±{s['max_error']}"
        lines.append(
            row.format(
                f"{s['start']:.3f}",
                s["frames"],
                f"{s['scale']:g}",
                s["head"],
                s["head_shape"] or "-",
                s["history"],
                loss,
                f"{s['base_bytes']:,}",
                f"{s['head_bytes']:,}",
                f"{s['loss_bytes']:,}",
                f"{s['psnr']:.2f}",
            )
        )
    return "\n".join(lines)


def tracks_text(tracks: list[TrackState]) -> str:
    """The end of a sentence on what was checked: how many other tracks were, and how many could not be."""
    right = sum(track.state == "right" for track in tracks)
    others = sum(track.found is not None for track in tracks) - right
    text = f"; {right} other track{'s' * (right != 1)} checked" if right else ""
    return text + (f"; {others} other track{'s' * (others != 1)} not" if others else "")


def target_text(settings: Settings, quality: float | None) -> str:
    """The part of a sentence on what became of a target; empty where the mean PSNR, or none, was asked for."""
    if quality is None or settings.target is None or (settings.target, settings.worst) == ("target_psnr", None):
        return ""
    text = quality_text(TARGETS[settings.target], quality)
    return text + (", " if settings.worst is None else f" in all but {settings.worst:g} % of pictures, ")


def quality_text(metric: str, value: float) -> str:
    """A value of PSNR, SSIM or XPSNR."""
    return f"{metric} {value:.4f}" if metric == SSIM else f"{metric} {value:.2f} dB"


def sample_table(found: FilmSampled) -> str:
    """What a sample tells of a film."""
    share = f"{found.sampled} of {found.frames} frames"
    places = "" if found.sampled == found.frames else f" in {found.stretches} places"
    lines = [f"{found.path}: by {share}{places}, at scale {found.scale:g}, in {clock_text(found.elapsed)}:", ""]
    size = f"{found.bytes / 1e6:.3f} MB"
    if found.bytes_low < found.bytes_high:
        size += f", between {found.bytes_low / 1e6:.3f} and {found.bytes_high / 1e6:.3f}"
    size += f"; {found.beside_bytes / 1e6:.3f} of it beside the pictures"
    video = f"{found.kbps:.1f} kbit/s"
    quality = f"PSNR-YUV {found.psnr:.2f} dB (luma {found.psnr_y:.2f}"
    if found.psnr_u is not None and found.psnr_v is not None:
        quality += f", chroma {found.psnr_u:.2f} and {found.psnr_v:.2f}"
    quality += ")"
    if found.stretches > 1:
        video += f", {found.kbps_low:.1f} to {found.kbps_high:.1f} from place to place"
        quality += f", {found.psnr_low:.2f} to {found.psnr_high:.2f} from place to place"
    rows = [("size", size), ("pictures", video), ("quality", quality)]
    likeness = [(SSIM, found.ssim), (XPSNR, found.xpsnr)]
    if known := [quality_text(metric, value) for metric, value in likeness if value is not None]:
        rows.append(("", ", ".join(known)))
    rows.append(("time", f"{clock_text(found.seconds)}, {found.fps:.3g} frames a second on this machine"))
    return "\n".join([*lines, *(f"  {name:10} {text}" for name, text in rows)])


def still_table(found: dict[str, Any]) -> str:
    """What `codec.still.info.describe_still` found."""
    quality = "lossless" if found["lossless"] else f"{found['psnr']:.2f} dB"
    if found["max_error"]:
        quality += f", every sample within {found['max_error']}"
    head = "no head" if found["head"] is None else f"pretrained head {found['head']}, base quantiser {found['base_q']}"
    lines = [
        f"{found['path']}: {found['width']}x{found['height']}, {KINDS[found['channels']]}, {found['depth']} bits, "
        f"colours of {found['colour']}; "
        f"{quality}, {found['bpp']:.4f} bpp, {head}",
        "",
    ]
    for name, size in found["bytes"].items():
        if size or name in ("file", "base"):
            lines.append(f"  {name.replace('_', '-'):12} {size:>12,} B")
    return "\n".join(lines)


def gaussians_table(found: dict[str, Any]) -> str:
    """What `splat.describe` found."""
    return "\n".join(_lines(found))


def _lines(found: dict[str, Any], within: str = "") -> Iterator[str]:
    for name, value in found.items():
        name = f"{within}{name.replace('_', ' ')}"
        if isinstance(value, dict):
            yield from _lines(value, f"{name}: ")
        elif isinstance(value, list):
            yield f"  {name:24} {', '.join(f'{number:g}' for number in value)}"
        else:
            yield f"  {name:24} {value if isinstance(value, str) else f'{value:,.10g}'}"


def folder_table(folder: Folder, what: str) -> str:
    """What became of a folder of pictures that were `what`: "encoded" or "decoded"."""
    total = folder.event
    rows = [(f"pictures {what}", f"{total.pictures}")]
    rows += [(name, f"{count}") for name, count in (("failed", total.failed), ("kept", total.kept)) if count]
    if total.pictures:
        rows += [("bytes read", f"{total.source_bytes:,}"), ("bytes written", f"{total.bytes:,}")]
    if folder.bpp is not None:
        rows.append(("bits a pixel", f"{folder.bpp:.3f}"))
    if folder.mean_psnr is not None:
        rows.append(("mean PSNR-RGB", f"{folder.mean_psnr:.2f} dB"))
    rows.append(("seconds", f"{folder.seconds:.1f}"))
    return "\n".join(f"  {name:20} {value:>16}" for name, value in rows)
