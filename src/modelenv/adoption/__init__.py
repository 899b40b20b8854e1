"""`modelenv adopt`: from a suite or program that asks the Hub to one that finds locked models.

The command is run twice: once to record what it asks the Hub for, and once with the Hub out of reach. Each Python
process of these runs, however deep, starts `sitecustomize.py` in the folder `injected`, which is on PYTHONPATH. It
reads the variable MODELENV_ADOPTION and appends what it sees to a file of its own. No `.pth` file is installed, and
no argument of the command is changed, so this is the same for pytest, its workers, the programs that tests start,
and any other program.
"""
