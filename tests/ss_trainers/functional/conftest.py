"""Hypothesis without a deadline: on a shared machine the clock says nothing about the code."""

from hypothesis import settings

settings.register_profile("patient", deadline=None)
settings.load_profile("patient")
