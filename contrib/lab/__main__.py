"""`python3 contrib/lab VERB`: finds the package it lies in, then hands over to main.py."""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from lab.main import main  # noqa: E402  (needs the path above)

sys.exit(main(sys.argv[1:]))
