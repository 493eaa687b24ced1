"""The axes of pictures: types, samples, depths, profiles, orientations, and which go together."""

from __future__ import annotations

from .sampling import Axes, Choice

# type -> the samples and the depths that its files hold
TYPES: dict[str, tuple[str, str]] = {
    "png": ("bilevel grey grey+alpha rgb rgb+alpha palette palette+alpha grey+key rgb+key", "1 2 4 8 16"),
    "apng": ("rgb rgb+alpha", "8"),
    "jpeg": ("grey rgb cmyk", "8"),
    "webp": ("rgb rgb+alpha", "8"),
    "webp-lossy": ("rgb rgb+alpha", "8"),
    "webp-anim": ("rgb rgb+alpha", "8"),
    "avif": ("grey rgb rgb+alpha premultiplied", "8"),
    "avif-deep": ("rgb rgb+alpha", "10 12"),
    "avif-anim": ("rgb", "8"),
    "tiff": ("bilevel grey grey+alpha rgb rgb+alpha premultiplied palette cmyk white-is-zero", "1 4 8 16"),
    "bmp": ("bilevel grey rgb rgb+alpha palette", "1 8"),
    "pnm": ("bilevel grey rgb", "1 3 8 10 12 16"),
    "pnm-plain": ("bilevel grey rgb", "1 3 8 10 12 16"),
    "pam": ("grey grey+alpha rgb rgb+alpha", "3 8 10 16"),
    "gif": ("palette palette+alpha", "8"),
    "jp2": ("grey rgb rgb+alpha", "8"),
}
DEPTHS = {"bilevel": "1", "palette": "1 2 4 8", "palette+alpha": "2 4 8", "grey+alpha": "3 8 10 16", "cmyk": "8"}
COLOURFUL_DEPTHS = "3 8 10 12 16"  # of rgb and all with alpha
PROFILES = {
    "png": "srgb-icc p3-icc grey-icc cmyk-icc gamma-1 gamma-2.2 chrm srgb cicp-pq cicp-p3",
    "jpeg": "srgb-icc p3-icc grey-icc cmyk-icc long-icc",
    "webp": "srgb-icc p3-icc",
    "webp-lossy": "p3-icc",
    "avif": "srgb-icc p3-icc nclx-pq nclx-p3",
    "avif-deep": "nclx-pq nclx-p3 nclx-hlg",
    "tiff": "srgb-icc p3-icc grey-icc cmyk-icc",
    "jp2": "",
}
TURNING = ("png", "jpeg", "webp", "webp-lossy", "avif", "tiff")
EXTRAS = {
    "png": "xmp text interlaced",
    "jpeg": "xmp mpf comment iptc big-exif progressive",
    "webp": "xmp",
    "avif": "xmp",
    "tiff": "big-endian deflated planar pages xmp",
}

AXES: Axes = {
    "type": ("png", "jpeg", "tiff", "avif", *TYPES),
    "samples": (
        *("bilevel", "grey", "grey+alpha", "rgb", "rgb+alpha", "palette", "palette+alpha", "grey+key", "rgb+key"),
        *("premultiplied", "cmyk", "white-is-zero"),
    ),
    "depth": ("1", "2", "3", "4", "8", "10", "12", "16"),
    "profile": (
        *("none", "none", "srgb-icc", "p3-icc", "grey-icc", "cmyk-icc", "long-icc", "gamma-1", "gamma-2.2", "chrm"),
        *("srgb", "cicp-pq", "cicp-p3", "nclx-pq", "nclx-p3", "nclx-hlg"),
    ),
    "orientation": ("1", "1", *"12345678"),
    "extra": (
        *("none", "xmp", "mpf", "comment", "iptc", "big-exif", "progressive", "text", "interlaced"),
        *("big-endian", "deflated", "planar", "pages"),
    ),
    "size": ("48x32", "17x13", "1x1", "64x64", "1x40", "33x2"),
    "content": ("noise", "flat", "photo"),
    "decoded": ("png", "png", "png", "tif", "webp", "ppm", "bmp", "jpg"),
}


def fits(axis: str, value: str, choice: Choice) -> bool:
    """Whether an axis may take a value beside those of the axes before it."""
    kind = choice["type"]
    if axis == "samples":
        return value in TYPES[kind][0].split()
    if axis == "depth":
        return value in TYPES[kind][1].split() and value in _depths(choice["samples"], kind)
    if axis == "profile":
        return value == "none" or (value in PROFILES.get(kind, "").split() and _fits_png(value, choice))
    if axis == "orientation":
        return value == "1" or kind in TURNING
    if axis == "extra":
        return value == "none" or value in EXTRAS.get(kind, "").split()
    return True


def _fits_png(profile: str, choice: Choice) -> bool:
    """A profile in a PNG has to be of the space of its samples (ISO/IEC 15948, 11.3.3.3); other files may lie."""
    grey = choice["samples"] in ("bilevel", "grey", "grey+alpha", "grey+key")
    return (
        choice["type"] != "png" or "icc" not in profile or ((profile == "grey-icc") == grey and profile != "cmyk-icc")
    )


def _depths(samples: str, kind: str) -> list[str]:
    """The depths of such samples in a file of that type."""
    if samples in DEPTHS:
        return ["4", "8"] if samples == "palette" and kind == "tiff" else DEPTHS[samples].split()
    if samples in ("grey", "grey+key", "white-is-zero"):
        return ["2", "3", "4", "8", "10", "12", "16"]
    return COLOURFUL_DEPTHS.split()
