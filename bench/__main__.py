"""`bench`, also as `python -m bench`."""

from codec.cli.entry import run


def main() -> None:
    """Entry point."""
    run("bench", "bench.cli")


if __name__ == "__main__":
    main()
