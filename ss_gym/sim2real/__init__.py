"""From simulated customers to real ones: to draw, fit and compare them, and to go over from the one to the other."""

from ss_gym.sim2real.act_classifier import ActClassifier, load_act_classifier
from ss_gym.sim2real.automatic import AutomaticRandomizationConfig, AutomaticRandomizer, Curriculum
from ss_gym.sim2real.dialogues import Dialogue, DialogueFeatures
from ss_gym.sim2real.gap import GapMetric, GapReport, sim_real_gap
from ss_gym.sim2real.identification import Posterior, abc_posterior, cross_entropy
from ss_gym.sim2real.population import Population, RandomizedPopulation, TransferPopulation
from ss_gym.sim2real.randomizer import DomainRandomizationConfig, DomainRandomizer
from ss_gym.sim2real.simulator import Calibration, ConversationSimulator, ConversationSimulatorConfig
from ss_gym.sim2real.transfer import SimToRealConfig, SimToRealTransfer
from ss_gym.sim2real.two_sample import (
    classifier_test,
    holm,
    kolmogorov_smirnov_statistic,
    mmd_statistic,
    ngram_statistic,
    permutation_test,
    plain_statistic,
    split_floor,
    wasserstein_statistic,
)

__all__ = [
    "ActClassifier",
    "AutomaticRandomizationConfig",
    "AutomaticRandomizer",
    "Calibration",
    "ConversationSimulator",
    "ConversationSimulatorConfig",
    "Curriculum",
    "Dialogue",
    "DialogueFeatures",
    "DomainRandomizationConfig",
    "DomainRandomizer",
    "GapMetric",
    "GapReport",
    "Population",
    "Posterior",
    "RandomizedPopulation",
    "SimToRealConfig",
    "SimToRealTransfer",
    "TransferPopulation",
    "abc_posterior",
    "classifier_test",
    "cross_entropy",
    "holm",
    "kolmogorov_smirnov_statistic",
    "load_act_classifier",
    "mmd_statistic",
    "ngram_statistic",
    "permutation_test",
    "plain_statistic",
    "sim_real_gap",
    "split_floor",
    "wasserstein_statistic",
]
