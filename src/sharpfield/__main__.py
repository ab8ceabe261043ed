"""``python -m sharpfield``."""

from sharpfield.cli.app import main

if __name__ == "__main__":
    main()
