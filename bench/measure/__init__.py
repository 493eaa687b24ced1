"""Points: encoded, decoded in a fresh process, compared."""
