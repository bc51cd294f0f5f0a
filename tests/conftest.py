"""Settings for every test."""

from hypothesis import settings

settings.register_profile("steady", deadline=None)  # a busy machine must not fail a property
settings.load_profile("steady")
