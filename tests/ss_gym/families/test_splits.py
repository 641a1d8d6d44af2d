"""What holds of the splits of every family: held out means other rules and other days, and frozen means frozen."""

from __future__ import annotations

import pytest

from ss_gym.families import FAMILIES
from ss_gym.families.splits import digest, frozen_pairs, load_scenario, split_size
from ss_gym.scenario_files import read_yaml

# Parameters of a family that may be alike in two splits: nothing is decided by their value alone.
_SHARED = {"refund": ("extra_credit_days", "extra_damage_days")}
_WITH_RULES = sorted(name for name in FAMILIES if "rules" in read_yaml(name, "family.yaml"))


def test_all_families_but_those_with_the_rules_of_others_have_their_own() -> None:
    assert set(FAMILIES) - set(_WITH_RULES) <= {"adversarial", "retail"}


@pytest.mark.parametrize("family", _WITH_RULES)
def test_held_out_splits_share_no_rule_parameter_with_train(family: str) -> None:
    for name, values in read_yaml(family, "family.yaml")["rules"].items():
        for split in ("dev", "test"):
            if name not in _SHARED.get(family, ()):
                assert not set(values["train"]) & set(values[split]), name


@pytest.mark.parametrize("family", FAMILIES)
def test_held_out_splits_share_no_date_with_train(family: str) -> None:
    today = read_yaml(family, "family.yaml")["today"]
    assert today["train"][1] < today["dev"][0] <= today["dev"][1] < today["test"][0]


@pytest.mark.parametrize("split", ["dev", "test"])
@pytest.mark.parametrize("family", FAMILIES)
def test_frozen_lists_have_not_drifted(family: str, split: str) -> None:
    pairs = frozen_pairs(family, split)
    assert len(pairs) >= 300
    assert split_size(family, split) == 2 * len(pairs)
    for position, frozen in enumerate(pairs):
        twins = [load_scenario(family, split, 2 * position + member) for member in (0, 1)]
        assert digest(*twins) == frozen.digest, f"{family}/{split} pair {position} is no longer the frozen one"
