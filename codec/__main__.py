"""`python -m codec` is the `codec` command."""

from .cli.main import main

main()
