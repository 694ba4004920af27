"""Hypothesis draws the same examples every time, and does not mind that the first use of a kernel compiles it."""

from hypothesis import HealthCheck, settings

settings.register_profile(
    "gradloom", deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("gradloom")
