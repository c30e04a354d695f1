"""`python -m kbit.cli`: the command without its console script."""

from kbit.cli import main

main()
