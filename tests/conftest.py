"""Settings that every test shares."""

import gc
import os
import shutil
import signal
from collections.abc import Generator, Iterator
from typing import Any

import pytest
from hypothesis import settings

# Read by OpenMP when torch is imported, so they are set before any test module is.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
# No test reaches a model hub by accident; those marked network unset it.
os.environ.setdefault("HF_HUB_OFFLINE", "1")

# A shell ignores Ctrl-C for what it starts in the background, and so would all that tests interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# How long an example takes says more of what else the machine does than of the code.
# --hypothesis-profile=thorough tries ten times as many.
settings.register_profile("shared machine", deadline=None, max_examples=50)
settings.register_profile("thorough", deadline=None, max_examples=500)
settings.load_profile("shared machine")

# A package of its own, which is installed before it is tested: see test_external.py.
collect_ignore = ["external"]

_BROWSER = "headless no-sandbox disable-gpu disable-quic no-first-run disable-background-networking "
_BROWSER += "disable-component-update disable-sync window-size=1280,1000"


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Keeps the garbage collector from what nine thousand tests and their imports leave, now and in each later pass."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A real one, for tests that are marked ``needs_browser``."""
    from selenium import webdriver

    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    for flag in _BROWSER.split():
        options.add_argument(f"--{flag}")
    driver = webdriver.Chrome(options, webdriver.ChromeService(shutil.which("chromedriver")))
    yield driver
    driver.quit()
