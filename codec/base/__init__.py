"""The AV1 base of a film or a picture."""
