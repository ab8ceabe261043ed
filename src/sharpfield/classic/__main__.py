"""``python -m sharpfield.classic``."""

from sharpfield.classic.app import main

if __name__ == "__main__":
    main()
