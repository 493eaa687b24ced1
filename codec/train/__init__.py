"""What makes the heads of the package. Nothing that decodes or encodes imports it."""
