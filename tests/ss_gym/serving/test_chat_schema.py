"""The chat service against requests that schemathesis makes from its OpenAPI document.

A few here; ``SS_GYM_SCHEMA_CASES=5000 python -m pytest tests/ss_gym/serving/test_chat_schema.py`` for many.
"""

import os

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import positive_data_acceptance

from ss_gym.serving.server import served
from tests.ss_gym.serving.test_chat_service import service

CASES = int(os.environ.get("SS_GYM_SCHEMA_CASES", "15"))
# Whoever breaks a rule with more than the service reads is told of that first: schemathesis doesn't think of 413.
REFUSED = [400, 401, 403, 404, 405, 406, 409, 413, 415, 422, 428, 429]
CONFIG = schemathesis.Config.from_dict({"checks": {"negative_data_rejection": {"expected-statuses": REFUSED}}})


@pytest.mark.parametrize("mode", list(GenerationMode))
def test_no_request_breaks_the_service_or_what_its_document_says(mode):
    with served(service("Hello!")) as address:
        schema = schemathesis.openapi.from_url(f"{address}/openapi.json", config=CONFIG)
        operations = [each.ok() for each in schema.get_all_operations()]
        assert len(operations) == 6
        for operation in operations:
            if mode is GenerationMode.NEGATIVE and not operation.body:
                continue  # there is nothing to get wrong

            @given(operation.as_strategy(generation_mode=mode))
            @settings(max_examples=CASES, suppress_health_check=list(HealthCheck), deadline=None, database=None)
            def each(case):
                # A schema can't say that, for instance, the last message must not be the assistant's own.
                case.call_and_validate(timeout=10, excluded_checks=[positive_data_acceptance])

            each()
