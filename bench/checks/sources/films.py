"""The axes of films: containers, codecs, times, other tracks, geometry and colour, and which go together.

What a container cannot hold at all is left out here, so that cases are not wasted; the rest the muxer decides.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from .sampling import Axes, Choice


@dataclass(frozen=True)
class Video:
    """How pictures are coded. `size`: width and height where not any will do."""

    encoder: str
    pix_fmt: str
    options: Mapping[str, str] = field(default_factory=dict)
    size: tuple[int, int] | None = None


@dataclass(frozen=True)
class Holder:
    """A container: libav's name of its muxer, the ending of its files, what it takes by families of codecs (the part of
    a name before the first "-"), its muxer's options."""

    format: str
    ending: str
    videos: str
    sounds: str = ""
    texts: str = ""
    options: Mapping[str, str] = field(default_factory=dict)


_X264 = {"preset": "veryfast", "crf": "23", "threads": "1", "g": "12"}
_X265 = {"preset": "ultrafast", "crf": "23", "x265-params": "log-level=error:pools=none:frame-threads=1"}
_VPX = {"deadline": "realtime", "cpu-used": "8", "crf": "30", "b": "0", "threads": "1"}
_AV1 = {"preset": "12", "crf": "40", "svtav1-params": "lp=1"}
_LARGE = (64, 64)

VIDEOS: dict[str, Video] = {
    "h264": Video("libx264", "yuv420p", _X264 | {"bf": "0"}),
    "h264-b": Video("libx264", "yuv420p", _X264 | {"bf": "3", "b-pyramid": "normal"}),
    "h264-open": Video("libx264", "yuv420p", _X264 | {"bf": "2", "g": "5", "x264-params": "open-gop=1"}),
    "h264-10": Video("libx264", "yuv420p10le", _X264 | {"bf": "2"}),
    "h264-422": Video("libx264", "yuv422p", _X264 | {"bf": "0"}),
    "h264-444": Video("libx264", "yuv444p", _X264 | {"bf": "2"}),
    "h264-gray": Video("libx264", "gray", _X264 | {"bf": "0"}),
    "h264-rgb": Video("libx264rgb", "rgb24", _X264 | {"bf": "0"}),
    "hevc": Video("libx265", "yuv420p", _X265 | {"bf": "0"}, size=_LARGE),
    "hevc-b10": Video("libx265", "yuv420p10le", _X265 | {"bf": "3"}, _LARGE),
    "hevc-444": Video("libx265", "yuv444p", _X265, _LARGE),
    "hevc-12": Video("libx265", "yuv420p12le", _X265, _LARGE),
    "mpeg1": Video("mpeg1video", "yuv420p", {"q": "3"}),
    "mpeg2": Video("mpeg2video", "yuv420p", {"q": "3"}),
    "mpeg2-b": Video("mpeg2video", "yuv420p", {"q": "3", "bf": "2"}),
    "mpeg2-422": Video("mpeg2video", "yuv422p", {"q": "3"}),
    "mpeg2-interlaced": Video("mpeg2video", "yuv420p", {"q": "3", "flags": "+ildct+ilme"}),
    "mpeg4": Video("mpeg4", "yuv420p", {"q": "3"}),
    "mpeg4-b": Video("mpeg4", "yuv420p", {"q": "3", "bf": "2"}),
    "msmpeg4": Video("msmpeg4v2", "yuv420p", {"q": "3"}),
    "wmv": Video("wmv2", "yuv420p", {"q": "3"}),
    "flv1": Video("flv", "yuv420p", {"q": "3"}),
    "vp8": Video("libvpx", "yuv420p", _VPX),
    "vp8-alt": Video("libvpx", "yuv420p", {**_VPX, "deadline": "good", "auto-alt-ref": "1", "lag-in-frames": "8"}),
    "vp9": Video("libvpx-vp9", "yuv420p", _VPX),
    "vp9-alt": Video("libvpx-vp9", "yuv420p", {**_VPX, "deadline": "good", "auto-alt-ref": "1", "lag-in-frames": "8"}),
    "vp9-444": Video("libvpx-vp9", "yuv444p", _VPX),
    "vp9-rgb": Video("libvpx-vp9", "gbrp", _VPX),
    "av1": Video("libsvtav1", "yuv420p", _AV1, size=_LARGE),
    "av1-10": Video("libsvtav1", "yuv420p10le", _AV1, size=_LARGE),
    "ffv1": Video("ffv1", "yuv420p", {"level": "3"}),
    "ffv1-422p10": Video("ffv1", "yuv422p10le", {"level": "3"}),
    "ffv1-444": Video("ffv1", "yuv444p", {"level": "1"}),
    "ffv1-gray": Video("ffv1", "gray", {"level": "3"}),
    "ffv1-gray10": Video("ffv1", "gray10le", {"level": "3"}),
    "ffv1-gray16": Video("ffv1", "gray16le", {"level": "3"}),
    "ffv1-12": Video("ffv1", "yuv420p12le", {"level": "3"}),
    "ffv1-alpha": Video("ffv1", "yuva420p", {"level": "3"}),
    "ffv1-rgb": Video("ffv1", "bgr0", {"level": "3"}),
    "ffv1-411": Video("ffv1", "yuv411p", {"level": "3"}),
    "ffv1-440": Video("ffv1", "yuv440p", {"level": "3"}),
    "prores": Video("prores_ks", "yuv422p10le", {"profile": "standard"}),
    "prores-4444": Video("prores_ks", "yuva444p10le", {"profile": "4444"}),
    "mjpeg": Video("mjpeg", "yuvj420p", {"q": "3"}),
    "mjpeg-422": Video("mjpeg", "yuvj422p", {"q": "3"}),
    "mjpeg-444": Video("mjpeg", "yuvj444p", {"q": "3"}),
    "huffyuv": Video("huffyuv", "yuv422p", {}),
    "huffyuv-rgb": Video("huffyuv", "rgb24", {}),
    "utvideo": Video("utvideo", "yuv420p", {}),
    "raw": Video("rawvideo", "yuv420p", {}),
    "raw-422": Video("rawvideo", "yuv422p", {}),
    "raw-444": Video("rawvideo", "yuv444p", {}),
    "raw-10": Video("rawvideo", "yuv420p10le", {}),
    "raw-gray": Video("rawvideo", "gray", {}),
    "raw-uyvy": Video("rawvideo", "uyvy422", {}),
    "raw-nv12": Video("rawvideo", "nv12", {}),
    "raw-rgb": Video("rawvideo", "rgb24", {}),
    "v210": Video("v210", "yuv422p10le", {}),
    "png": Video("png", "rgb24", {}),
    "png-alpha": Video("png", "rgba", {}),
    "png-gray": Video("png", "gray", {}),
    "qtrle": Video("qtrle", "rgb24", {}),
    "gif": Video("gif", "rgb8", {}),
    "apng": Video("apng", "rgb24", {}),
    "apng-alpha": Video("apng", "rgba", {}),
    "apng-gray16": Video("apng", "gray16be", {}),
    "dirac": Video("vc2", "yuv422p", {}, size=_LARGE),
}

SOUNDS: dict[str, tuple[str, str, int]] = {  # name -> encoder, layout, rate
    "aac": ("aac", "stereo", 48000),
    "aac-44": ("aac", "mono", 44100),
    "aac-5.1": ("aac", "5.1", 48000),
    "opus": ("libopus", "stereo", 48000),
    "mp3": ("libmp3lame", "stereo", 44100),
    "mp2": ("mp2", "stereo", 48000),
    "ac3": ("ac3", "5.1", 48000),
    "eac3": ("eac3", "stereo", 48000),
    "flac": ("flac", "stereo", 44100),
    "flac-24": ("flac", "mono", 96000),
    "vorbis": ("vorbis", "stereo", 44100),
    "alac": ("alac", "stereo", 44100),
    "wma": ("wmav2", "stereo", 44100),
    "wavpack": ("wavpack", "stereo", 48000),
    "tta": ("tta", "stereo", 44100),
    "pcm-s16": ("pcm_s16le", "stereo", 48000),
    "pcmbe": ("pcm_s16be", "mono", 22050),
    "pcm-s24": ("pcm_s24le", "stereo", 48000),
    "pcm-f32": ("pcm_f32le", "mono", 48000),
    "pcm-u8": ("pcm_u8", "mono", 8000),
    "alaw": ("pcm_alaw", "mono", 8000),
    "adpcm": ("adpcm_ms", "mono", 22050),
}
TEXTS = ("srt", "ass", "webvtt", "mov_text")

_ANY_VIDEO = "h264 hevc mpeg1 mpeg2 mpeg4 msmpeg4 vp8 vp9 av1 ffv1 prores mjpeg huffyuv utvideo raw v210 dirac"
_MOV_VIDEO = "h264 hevc mpeg1 mpeg2 mpeg4 vp9 av1 prores mjpeg raw v210 png qtrle dirac"
_MOV_SOUND = "aac mp3 ac3 eac3 alac pcm pcmbe alaw mp2"
_ANY_SOUND = "aac opus mp3 mp2 ac3 eac3 flac vorbis alac wavpack tta pcm pcmbe adpcm"

HOLDERS: dict[str, Holder] = {
    "mp4": Holder("mp4", "mp4", "h264 hevc mpeg1 mpeg2 mpeg4 vp9 av1 mjpeg png", "aac mp3 ac3 eac3 mp2 opus flac alac",
                  "mov_text"),
    "mp4-fragments": Holder("mp4", "mp4", "h264 hevc mpeg4 vp9 av1", "aac mp3 ac3 opus flac", "mov_text",
                            {"movflags": "frag_keyframe+empty_moov+default_base_moof"}),
    "mov": Holder("mov", "mov", _MOV_VIDEO, _MOV_SOUND, "mov_text"),
    "3gp": Holder("3gp", "3gp", "h264 mpeg4", "aac", "mov_text"),
    "mkv": Holder("matroska", "mkv", _ANY_VIDEO, _ANY_SOUND, "srt ass webvtt"),
    "webm": Holder("webm", "webm", "vp8 vp9 av1", "opus vorbis", "webvtt"),
    "ts": Holder("mpegts", "ts", "h264 hevc mpeg1 mpeg2 mpeg4", "aac mp3 mp2 ac3 eac3 opus"),
    "m2ts": Holder("mpegts", "m2ts", "h264 hevc mpeg2", "ac3 eac3", "", {"mpegts_m2ts_mode": "1"}),
    "ps": Holder("vob", "vob", "h264 mpeg1 mpeg2", "mp2 mp3 ac3"),
    "avi": Holder("avi", "avi", "h264 mpeg1 mpeg2 mpeg4 msmpeg4 wmv vp8 vp9 ffv1 mjpeg huffyuv utvideo raw png",
                  "mp3 mp2 ac3 pcm alaw aac flac adpcm"),
    "flv": Holder("flv", "flv", "h264 flv1", "aac mp3"),
    "asf": Holder("asf", "wmv", "wmv msmpeg4 mpeg4 h264", "wma mp3 ac3 pcm alaw"),
    "ogg": Holder("ogg", "ogv", "vp8", "vorbis opus flac"),
    "nut": Holder("nut", "nut", _ANY_VIDEO, "aac mp3 mp2 ac3 flac vorbis pcm alaw wma"),
    "mxf": Holder("mxf", "mxf", "mpeg2 h264 prores", "pcm"),
    "y4m": Holder("yuv4mpegpipe", "y4m", "raw"),
    "gif": Holder("gif", "gif", "gif"),
    "apng": Holder("apng", "png", "apng"),
    "h264-raw": Holder("h264", "h264", "h264"),
    "hevc-raw": Holder("hevc", "hevc", "hevc"),
    "mpeg2-raw": Holder("mpeg2video", "m2v", "mpeg2"),
    "mjpeg-raw": Holder("mjpeg", "mjpeg", "mjpeg"),
    "ivf": Holder("ivf", "ivf", "vp8 vp9 av1"),
}  # fmt: skip

AXES: Axes = {
    "container": ("mp4", "mkv", "mov", "ts", "avi", *HOLDERS),
    "video": tuple(VIDEOS),
    "size": ("48x32", "50x34", "49x33", "64x48"),
    "rate": ("25", "30000/1001", "24000/1001", "60", "15/2", "50"),
    "tick": ("1/rate", "1/1000", "1/90000", "1/12800", "1001/30000", "1/1000000"),
    "first": ("0", "0", "5", "-0.12", "1/3", "47000", "wrapped", "wrapping"),
    "frames": ("1", "2", "7", "7", "12", "12"),
    "pace": ("even", "even", "varied", "gap", "long last", "short last", "doubled"),
    "sound": ("none", *SOUNDS),
    "sound 2": ("none", "none", *SOUNDS),
    "sound at": ("same", "same", "earlier", "later", "gap", "short", "long"),
    "text": ("none", "none", "none", *TEXTS),
    "text how": ("apart", "overlapping", "nested", "styled", "early"),
    "chapters": ("none", "none", "two", "uncovered"),
    "attached": ("none", "none", "font", "cover", "both"),
    "turn": ("none", "none", "90", "180", "270", "hflip", "vflip", "odd"),
    "sar": ("1", "1", "4/3", "16/15", "1/2"),
    "colour": ("none", "none", "bt709", "bt601", "bt2020-pq", "bt2020-hlg", "full", "full-bt709", "srgb"),
    "place": ("none", "none", "left", "center", "topleft"),
    "tags": ("none", "usual", "odd"),
    "target": ("nvc", "nvc", "nvc", "mkv", "mp4"),
    "decoded": ("mkv", "mkv", "mkv", "y4m", "mp4", "mov", "webm"),
}


def fits(axis: str, value: str, choice: Choice) -> bool:
    """Whether an axis may take a value beside those of the axes before it; the muxer has the last word."""
    holder = HOLDERS[choice["container"]]
    if axis == "video":
        return _family(value) in holder.videos.split()
    if axis == "size":
        return _fits_size(value, VIDEOS[choice["video"]])
    if axis == "first":
        return holder.format in ("mpegts", "vob") or value not in ("wrapped", "wrapping")
    if axis == "pace":
        return choice["frames"] != "1" or value not in ("varied", "gap", "doubled")
    if value == "none":
        return True
    if axis == "sound 2" and holder.format == "flv":
        return False
    if axis in ("sound", "sound 2"):
        return _family(value) in holder.sounds.split()
    if axis == "sound at":
        return value == "same" or choice["sound"] != "none"
    if axis == "text":
        return value in holder.texts.split()
    if axis == "text how":
        return value == "apart" or choice["text"] != "none"
    if axis == "attached":
        return holder.format == "matroska" or (value == "cover" and holder.format in ("mp4", "mov"))
    return True


def _fits_size(value: str, video: Video) -> bool:
    """x265 and SVT-AV1 want pictures of some blocks; odd sizes are for formats that round chroma up."""
    if video.size:
        return value == "64x48"
    halved = any(part in video.pix_fmt for part in ("420", "422", "411", "440", "nv12"))
    return value != "49x33" or not halved or video.encoder in ("ffv1", "mjpeg", "libvpx", "libvpx-vp9")


def _family(name: str) -> str:
    return name.partition("-")[0]
