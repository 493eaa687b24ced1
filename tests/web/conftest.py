"""Fixtures of the player's tests in a browser."""

from __future__ import annotations

from tests.web.browser import browser, page, page_without_webgpu

__all__ = ["browser", "page", "page_without_webgpu"]
