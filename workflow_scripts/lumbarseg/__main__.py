"""The command `lumbarseg`, also `python -m lumbarseg`."""

import sys

from lumbarseg.workflow.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
