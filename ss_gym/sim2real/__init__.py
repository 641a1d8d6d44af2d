"""From simulated customers to real ones: to draw, fit and compare them, and to go over from the one to the other."""

from ss_gym.sim2real.automatic import AutomaticRandomizationConfig, AutomaticRandomizer, Curriculum
from ss_gym.sim2real.classifier import area_under_curve
from ss_gym.sim2real.identification import Posterior, abc_posterior, cross_entropy
from ss_gym.sim2real.randomizer import DomainRandomizationConfig, DomainRandomizer
from ss_gym.sim2real.transfer import SimToRealConfig, SimToRealTransfer
from ss_gym.sim2real.two_sample import classifier_test, holm, permutation_test, split_floor

__all__ = [
    "AutomaticRandomizationConfig",
    "AutomaticRandomizer",
    "Curriculum",
    "DomainRandomizationConfig",
    "DomainRandomizer",
    "Posterior",
    "SimToRealConfig",
    "SimToRealTransfer",
    "abc_posterior",
    "area_under_curve",
    "classifier_test",
    "cross_entropy",
    "holm",
    "permutation_test",
    "split_floor",
]
