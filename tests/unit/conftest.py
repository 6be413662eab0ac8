"""Settings of all unit tests."""

from hypothesis import settings

# No deadline: how long one example takes says more about the machine's load than about the code.
settings.register_profile("neuromas", deadline=None)
settings.load_profile("neuromas")
