"""`python -m meshdata`: the command line, where the `meshdata` command is not on the path."""

from meshdata.cli import main

if __name__ == "__main__":
    main()
