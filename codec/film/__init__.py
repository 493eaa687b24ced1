"""Films as files."""
