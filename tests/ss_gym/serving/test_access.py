import pytest

from ss_gym.serving.access import ANYONE, KEYS_VARIABLE, ApiKeys, Gate
from ss_gym.serving.errors import ServiceError


def test_without_keys_anyone_may_come():
    assert not ApiKeys().wanted
    assert ApiKeys().holder("") == ANYONE


def test_a_key_opens_and_its_holder_is_named_without_it():
    keys = ApiKeys(["first-secret", "second-secret"])
    assert keys.holder("Bearer second-secret") == "key-2"
    assert keys.holder("bearer first-secret") == "key-1"


@pytest.mark.parametrize(
    "given", ["", "Bearer", "Bearer ", "Bearer first", "Basic first-secret", "first-secret", "Bearer é"]
)
def test_anything_else_is_refused(given):
    with pytest.raises(ServiceError) as refused:
        ApiKeys(["first-secret"]).holder(given)
    assert refused.value.status == 401
    assert refused.value.headers == {"WWW-Authenticate": "Bearer"}
    assert "first-secret" not in str(refused.value)


def test_keys_come_from_a_file_or_from_the_environment(tmp_path, monkeypatch):
    file = tmp_path / "keys"
    file.write_text("# of the shop\nfirst-secret\n\n  second-secret\n")
    assert ApiKeys.read(file).holder("Bearer second-secret") == "key-2"
    monkeypatch.setenv(KEYS_VARIABLE, "third-secret, fourth-secret")
    assert ApiKeys.read().holder("Bearer fourth-secret") == "key-2"
    file.write_text("# none\n")
    with pytest.raises(ValueError, match="has no API keys"):
        ApiKeys.read(file)


@pytest.mark.parametrize("key", ["short", "with space", "ümlaut-secret"])
def test_keys_that_keep_nobody_out_or_fit_in_no_header_are_refused(key):
    with pytest.raises(ValueError, match="can't be used"):
        ApiKeys([key])


def test_the_gate_lets_in_so_many_in_all_and_of_each():
    gate = Gate(3, 2)
    with gate.entered("a"), gate.entered("a"):
        with pytest.raises(ServiceError, match="may have 2") as refused, gate.entered("a"):
            pass
        assert (refused.value.status, refused.value.headers) == (429, {"Retry-After": "1"})
        with pytest.raises(ServiceError, match="no more than 3") as refused, gate.entered("b", 2):
            pass
        assert (refused.value.status, refused.value.headers) == (503, {"Retry-After": "1"})
        with gate.entered("b"):
            assert gate.inside == 3
    assert gate.inside == 0


def test_the_gate_opens_again_when_something_fails_inside():
    gate = Gate(1)
    with pytest.raises(KeyError), gate.entered("a"):
        raise KeyError
    assert gate.inside == 0
