"""`python -m tests.simulation --seeds 1-1000`: many runs; `--seed 7`: one, with its trace."""

import sys

from tests.simulation.command import main

sys.exit(main())
