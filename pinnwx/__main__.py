"""`python -m pinnwx`: the command line."""

from pinnwx.cli import main

main()
