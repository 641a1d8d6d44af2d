"""The benchmark of randomised customers, on a small scale."""

from tests.benchmarks import randomization


def test_the_episodes_of_all_kinds_are_replayed_as_they_were() -> None:
    found = randomization.measured(10)
    assert list(found) == ["usual", "randomised", "automatic"]
    assert found["usual"]["ratio"] == 1.0
    assert all(each["rate"] > 100 and each["steps"] > 3 and each["ratio"] > 0 for each in found.values())
