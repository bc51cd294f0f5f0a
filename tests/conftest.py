"""Settings for every test."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # threads that wait for each other on a busy machine take minutes

from hypothesis import settings

settings.register_profile("steady", deadline=None)  # a busy machine must not fail a property
settings.load_profile("steady")
