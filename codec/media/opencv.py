"""OpenCV, told to be silent: what is wrong with a file is ours to say. Loading it takes as long as a small picture, so
it is imported where one is read or written by it."""

from __future__ import annotations

import cv2

cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)

__all__ = ["cv2"]
