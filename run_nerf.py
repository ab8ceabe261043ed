"""The classic command line: ``python run_nerf.py --config FILE --expname NAME``; see --help."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "src"))

from sharpfield.classic.app import main

if __name__ == "__main__":
    main()
