"""The benchmark: `make bench`.  Speed is a ratio to real peers in one run, never a timed test."""
