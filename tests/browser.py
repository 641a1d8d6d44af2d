"""Whether there is a real browser, which the fixture ``browser`` is."""

import shutil

import pytest

needs_browser = pytest.mark.skipif(
    shutil.which("chromium") is None or shutil.which("chromedriver") is None,
    reason="needs chromium and chromedriver (on Debian: apt install chromium chromium-driver)",
)
