"""The HTTP server: `python -m recsys.serving --conf FILE`."""

import sys

from recsys.serving.server import main

if __name__ == "__main__":
    sys.exit(main())
