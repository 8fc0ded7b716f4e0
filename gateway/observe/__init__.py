"""What operators see: logs.  Counters live where they are counted."""
