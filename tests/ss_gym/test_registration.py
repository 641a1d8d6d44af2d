import re
import subprocess
import sys
from pathlib import Path

import gymnasium
import pytest

import ss_gym
from ss_gym.registration import ENVIRONMENTS, register_environments


def test_every_id_is_known_to_gymnasium_by_strings_alone():
    for env_id, entry in ENVIRONMENTS.items():
        spec = gymnasium.spec(env_id)
        assert (spec.entry_point, spec.vector_entry_point or "") == (entry.entry_point, entry.vector_entry_point)
        assert spec.kwargs == entry.kwargs
        assert gymnasium.envs.registration.EnvSpec.from_json(spec.to_json()) == spec


def test_registering_again_warns_of_nothing(recwarn):
    register_environments()
    assert not recwarn.list


def run(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60).stdout


def test_importing_the_package_loads_gymnasium_and_a_table_and_nothing_else():
    code = "import sys, gymnasium; before = {*sys.modules}; import ss_gym; print(*sorted({*sys.modules} - before))"
    assert run(code).split() == ["ss_gym", "ss_gym.registration"]


def test_gymnasium_finds_the_ids_through_the_module_prefix():
    code = "import gymnasium; print(gymnasium.envs.registration._find_spec('ss_gym:StateSet/Refund-v0').id)"
    assert run(code).strip() == "StateSet/Refund-v0"


def test_type_checkers_are_told_the_same_names_as_the_interpreter():
    source = Path(ss_gym.__file__).read_text()
    told = re.findall(r"^    from (\S+) import (\w+) as \2$", source, re.MULTILINE)
    assert {name: module for module, name in told} == ss_gym._EXPORTS


@pytest.mark.parametrize("name", ss_gym.__all__)
def test_every_public_name_resolves(name):
    assert getattr(ss_gym, name) is not None
    assert name in dir(ss_gym)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = ss_gym.nothing
