"""Exit codes that every verb shares; `faces verify` alone has its own."""

OK = 0  # every input was handled
FAILED = 1  # some inputs failed or were refused
USAGE = 2  # wrong usage, or nothing to do
INTERRUPTED = 130  # what shells report for a program that Ctrl-C ended: 128 + SIGINT
