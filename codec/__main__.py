"""`codec`, also as `python -m codec`."""

from .cli.entry import run


def main() -> None:
    """Entry point."""
    run("codec", "codec.cli.main")


if __name__ == "__main__":
    main()
