"""Run the command line with `python -m modelenv`."""

from modelenv.cli import main

if __name__ == "__main__":
    main()
