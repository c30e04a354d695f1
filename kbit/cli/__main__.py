"""`python -m kbit.cli`: the command without its console script."""

from kbit.cli import main

if __name__ == "__main__":  # a process that this one starts imports it again
    main()
