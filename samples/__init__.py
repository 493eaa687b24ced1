"""Small clips and pictures that the project draws itself: what a newcomer runs first, and what the tests run on.

`singer_frames` and `texture_frames` yield the same films at any size and length; `python -m samples.make` writes the
files. Imports no other package of the project.
"""

from .singer import singer_frames, singer_sound
from .texture import texture_frames

__all__ = ["singer_frames", "singer_sound", "texture_frames"]
