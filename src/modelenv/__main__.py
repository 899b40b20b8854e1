"""`python -m modelenv`: the command line."""

from modelenv.cli import main

if __name__ == "__main__":
    main()
