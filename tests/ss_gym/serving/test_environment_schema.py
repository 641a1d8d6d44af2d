"""The environment's server against requests that schemathesis makes from its OpenAPI document.

A few here; ``SS_GYM_SCHEMA_CASES=5000 python -m pytest tests/ss_gym/serving/test_environment_schema.py`` for many.
"""

import json
import os
import urllib.error
import urllib.request

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import positive_data_acceptance

from ss_gym.serving.environment_server import environment_server
from ss_gym.serving.server import served

CASES = int(os.environ.get("SS_GYM_SCHEMA_CASES", "120"))
# What no schema can say: that there is such a session, and that the environment knows an option.
EXCLUDED = [positive_data_acceptance]


def asked(address, path, **fields):
    request = urllib.request.Request(
        address + path, json.dumps(fields).encode(), {"Content-Type": "application/json"}, method="POST"
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


@pytest.fixture(scope="module")
def address():
    with served(environment_server("StateSet/Refund-v0")) as address:
        yield address


class Live:
    """A session in an episode; another one when it was closed."""

    def __init__(self, address):
        self._address, self.id = address, "none"

    def renewed(self):
        try:
            with urllib.request.urlopen(f"{self._address}/v1/sessions/{self.id}", timeout=10):
                return self.id
        except urllib.error.HTTPError as error:
            assert error.code in (404, 410)
        self.id = asked(self._address, "/v1/sessions")["id"]
        asked(self._address, f"/v1/sessions/{self.id}/reset", seed=1)
        return self.id


@pytest.mark.parametrize("mode", list(GenerationMode))
def test_no_request_breaks_the_server_or_what_its_document_says(address, mode):
    operations = [each.ok() for each in schemathesis.openapi.from_url(f"{address}/openapi.json").get_all_operations()]
    assert len(operations) == 10
    if mode is GenerationMode.NEGATIVE:
        operations = [each for each in operations if each.body]  # in the others there is nothing to get wrong
    live = Live(address)
    varied = [each for each in operations if each.body or each.path_parameters]
    asked_for = 0
    for operation in operations:

        @given(operation.as_strategy(generation_mode=mode), st.booleans())
        @settings(
            max_examples=CASES // 2 // len(varied) + 1 if operation in varied else 1,
            suppress_health_check=list(HealthCheck),
            deadline=None,
            database=None,
        )
        def each(case, known):
            nonlocal asked_for
            asked_for += 1
            if known and case.path_parameters:
                case.path_parameters["session_id"] = live.renewed()
            case.call_and_validate(timeout=10, excluded_checks=EXCLUDED)

        each()
    assert asked_for >= CASES // 2  # and not fewer, because nothing new could be thought of
