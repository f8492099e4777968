"""`python -m opsin` is the command `opsin`."""

from opsin.cli import main

main()
