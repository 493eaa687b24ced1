"""Many segments, side by side."""
