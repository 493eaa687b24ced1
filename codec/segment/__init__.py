"""A segment, both ways: the unit of the format."""
