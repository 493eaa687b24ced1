"""The one training loop."""

from __future__ import annotations

import torch


def has_bfloat16() -> bool:
    """Whether this machine multiplies bfloat16 faster than float32."""
    return bool(getattr(torch.cpu, "_is_amx_tile_supported", bool)())
