"""`python -m surprax`: the command line."""

from surprax.cli import main

if __name__ == "__main__":
    main()
