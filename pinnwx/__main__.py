"""`python -m pinnwx`: the command line."""

from pinnwx.commands.main import main

main()
