"""One model over many files: what to read (sources), how to run (run) and what to write (sinks)."""
