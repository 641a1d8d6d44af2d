"""Trainers of language models in text environments, and of policies from logs alone."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ss_trainers.algorithms.behavior_cloning import BehaviorCloning as BehaviorCloning
    from ss_trainers.algorithms.behavior_cloning import BehaviorCloningConfig as BehaviorCloningConfig
    from ss_trainers.algorithms.cispo import CISPO as CISPO
    from ss_trainers.algorithms.cispo import CISPOConfig as CISPOConfig
    from ss_trainers.algorithms.critique_revision import CritiqueRevision as CritiqueRevision
    from ss_trainers.algorithms.critique_revision import CritiqueRevisionConfig as CritiqueRevisionConfig
    from ss_trainers.algorithms.dapo import DAPO as DAPO
    from ss_trainers.algorithms.dapo import DAPOConfig as DAPOConfig
    from ss_trainers.algorithms.gepo import GEPO as GEPO
    from ss_trainers.algorithms.gepo import GEPOConfig as GEPOConfig
    from ss_trainers.algorithms.grpo import GRPO as GRPO
    from ss_trainers.algorithms.grpo import GRPOConfig as GRPOConfig
    from ss_trainers.algorithms.gspo import GSPO as GSPO
    from ss_trainers.algorithms.gspo import GSPOConfig as GSPOConfig
    from ss_trainers.algorithms.offline_grpo import OfflineGRPO as OfflineGRPO
    from ss_trainers.algorithms.offline_grpo import OfflineGRPOConfig as OfflineGRPOConfig
    from ss_trainers.algorithms.online_dpo import OnlineDPO as OnlineDPO
    from ss_trainers.algorithms.online_dpo import OnlineDPOConfig as OnlineDPOConfig
    from ss_trainers.algorithms.policy_optimization import PolicyOptimization as PolicyOptimization
    from ss_trainers.algorithms.ppo import PPO as PPO
    from ss_trainers.algorithms.ppo import PPOConfig as PPOConfig
    from ss_trainers.algorithms.reinforce_plus_plus import ReinforcePlusPlus as ReinforcePlusPlus
    from ss_trainers.algorithms.reinforce_plus_plus import ReinforcePlusPlusConfig as ReinforcePlusPlusConfig
    from ss_trainers.algorithms.rejection_sampling import RejectionSampling as RejectionSampling
    from ss_trainers.algorithms.rejection_sampling import RejectionSamplingConfig as RejectionSamplingConfig
    from ss_trainers.algorithms.rlaif import RLAIF as RLAIF
    from ss_trainers.algorithms.rlaif import RLAIFConfig as RLAIFConfig
    from ss_trainers.algorithms.rloo import RLOO as RLOO
    from ss_trainers.algorithms.rloo import RLOOConfig as RLOOConfig
    from ss_trainers.algorithms.settings import Recipe as Recipe
    from ss_trainers.algorithms.shuffled import Shuffled as Shuffled
    from ss_trainers.algorithms.shuffled import ShuffledConfig as ShuffledConfig
    from ss_trainers.algorithms.vapo import VAPO as VAPO
    from ss_trainers.algorithms.vapo import VAPOConfig as VAPOConfig
    from ss_trainers.callbacks import KeepBest as KeepBest
    from ss_trainers.callbacks import StopOnRegression as StopOnRegression
    from ss_trainers.config import LoraSettings as LoraSettings
    from ss_trainers.config import TrainingConfig as TrainingConfig
    from ss_trainers.config import TrainingProfile as TrainingProfile
    from ss_trainers.config import get_config_for_task as get_config_for_task
    from ss_trainers.continual.settings import ContinualConfig as ContinualConfig
    from ss_trainers.hybrid import OfflineGRPOTrainer as OfflineGRPOTrainer
    from ss_trainers.offline.bc import BCConfig as BCConfig
    from ss_trainers.offline.bcq import BCQConfig as BCQConfig
    from ss_trainers.offline.bear import BEARConfig as BEARConfig
    from ss_trainers.offline.cql import CQLConfig as CQLConfig
    from ss_trainers.offline.decision_transformer import DecisionTransformerConfig as DecisionTransformerConfig
    from ss_trainers.offline.iql import IQLConfig as IQLConfig
    from ss_trainers.offline.policies import NumericPolicy as NumericPolicy
    from ss_trainers.offline.settings import OfflineConfig as OfflineConfig
    from ss_trainers.offline.settings import OfflineTraining as OfflineTraining
    from ss_trainers.offline.trainer import OfflineTrainer as OfflineTrainer
    from ss_trainers.offline.trainers import BCQTrainer as BCQTrainer
    from ss_trainers.offline.trainers import BCTrainer as BCTrainer
    from ss_trainers.offline.trainers import BEARTrainer as BEARTrainer
    from ss_trainers.offline.trainers import CQLTrainer as CQLTrainer
    from ss_trainers.offline.trainers import DecisionTransformerTrainer as DecisionTransformerTrainer
    from ss_trainers.offline.trainers import ILQLTrainer as ILQLTrainer
    from ss_trainers.offline.trainers import IQLTrainer as IQLTrainer
    from ss_trainers.offline.transitions import TransitionBatch as TransitionBatch
    from ss_trainers.offline.transitions import Transitions as Transitions
    from ss_trainers.offline.turns import TurnLog as TurnLog
    from ss_trainers.offline.turns import turn_log as turn_log
    from ss_trainers.offline_text.agent import OfflineAgent as OfflineAgent
    from ss_trainers.offline_text.ilql import ILQLConfig as ILQLConfig
    from ss_trainers.offline_text.settings import TextTraining as TextTraining
    from ss_trainers.offline_text.trainer import ConversationTrainer as ConversationTrainer
    from ss_trainers.populations import make_population as make_population
    from ss_trainers.reward_model import RewardModel as RewardModel
    from ss_trainers.reward_model import load_reward_model as load_reward_model
    from ss_trainers.reward_training import PreferencePair as PreferencePair
    from ss_trainers.reward_training import RewardModelConfig as RewardModelConfig
    from ss_trainers.reward_training import preference_pairs as preference_pairs
    from ss_trainers.reward_training import train_on_preferences as train_on_preferences
    from ss_trainers.reward_training import train_on_returns as train_on_returns
    from ss_trainers.rollout import Episode as Episode
    from ss_trainers.trainer import Trainer as Trainer
    from ss_trainers.trainers import BehaviorCloningTrainer as BehaviorCloningTrainer
    from ss_trainers.trainers import CISPOTrainer as CISPOTrainer
    from ss_trainers.trainers import CritiqueRevisionTrainer as CritiqueRevisionTrainer
    from ss_trainers.trainers import DAPOTrainer as DAPOTrainer
    from ss_trainers.trainers import GEPOTrainer as GEPOTrainer
    from ss_trainers.trainers import GRPOTrainer as GRPOTrainer
    from ss_trainers.trainers import GSPOTrainer as GSPOTrainer
    from ss_trainers.trainers import OnlineDPOTrainer as OnlineDPOTrainer
    from ss_trainers.trainers import PPOTrainer as PPOTrainer
    from ss_trainers.trainers import ReinforcePlusPlusTrainer as ReinforcePlusPlusTrainer
    from ss_trainers.trainers import RejectionSamplingTrainer as RejectionSamplingTrainer
    from ss_trainers.trainers import RLAIFTrainer as RLAIFTrainer
    from ss_trainers.trainers import RLOOTrainer as RLOOTrainer
    from ss_trainers.trainers import VAPOTrainer as VAPOTrainer
    from ss_trainers.training import train as train
    from ss_trainers.training import train_with as train_with
    from ss_trainers.training import train_with_cispo as train_with_cispo
    from ss_trainers.training import train_with_dapo as train_with_dapo
    from ss_trainers.training import train_with_gepo as train_with_gepo
    from ss_trainers.training import train_with_grpo as train_with_grpo
    from ss_trainers.training import train_with_gspo as train_with_gspo
    from ss_trainers.training import train_with_online_dpo as train_with_online_dpo
    from ss_trainers.training import train_with_ppo as train_with_ppo
    from ss_trainers.training import train_with_reinforce_plus_plus as train_with_reinforce_plus_plus
    from ss_trainers.training import train_with_rlaif as train_with_rlaif
    from ss_trainers.training import train_with_rloo as train_with_rloo
    from ss_trainers.training import train_with_vapo as train_with_vapo

# Public name -> module that holds it; torch is imported only when one of them is used.
_EXPORTS = {
    "BCConfig": "ss_trainers.offline.bc",
    "BCQConfig": "ss_trainers.offline.bcq",
    "BCQTrainer": "ss_trainers.offline.trainers",
    "BCTrainer": "ss_trainers.offline.trainers",
    "BEARConfig": "ss_trainers.offline.bear",
    "BEARTrainer": "ss_trainers.offline.trainers",
    "BehaviorCloning": "ss_trainers.algorithms.behavior_cloning",
    "BehaviorCloningConfig": "ss_trainers.algorithms.behavior_cloning",
    "BehaviorCloningTrainer": "ss_trainers.trainers",
    "CISPO": "ss_trainers.algorithms.cispo",
    "CISPOConfig": "ss_trainers.algorithms.cispo",
    "CISPOTrainer": "ss_trainers.trainers",
    "ConversationTrainer": "ss_trainers.offline_text.trainer",
    "CQLConfig": "ss_trainers.offline.cql",
    "CQLTrainer": "ss_trainers.offline.trainers",
    "ContinualConfig": "ss_trainers.continual.settings",
    "CritiqueRevision": "ss_trainers.algorithms.critique_revision",
    "CritiqueRevisionConfig": "ss_trainers.algorithms.critique_revision",
    "CritiqueRevisionTrainer": "ss_trainers.trainers",
    "DAPO": "ss_trainers.algorithms.dapo",
    "DAPOConfig": "ss_trainers.algorithms.dapo",
    "DAPOTrainer": "ss_trainers.trainers",
    "DecisionTransformerConfig": "ss_trainers.offline.decision_transformer",
    "DecisionTransformerTrainer": "ss_trainers.offline.trainers",
    "Episode": "ss_trainers.rollout",
    "GEPO": "ss_trainers.algorithms.gepo",
    "GEPOConfig": "ss_trainers.algorithms.gepo",
    "GEPOTrainer": "ss_trainers.trainers",
    "get_config_for_task": "ss_trainers.config",
    "GRPO": "ss_trainers.algorithms.grpo",
    "GRPOConfig": "ss_trainers.algorithms.grpo",
    "GRPOTrainer": "ss_trainers.trainers",
    "GSPO": "ss_trainers.algorithms.gspo",
    "GSPOConfig": "ss_trainers.algorithms.gspo",
    "GSPOTrainer": "ss_trainers.trainers",
    "ILQLConfig": "ss_trainers.offline_text.ilql",
    "ILQLTrainer": "ss_trainers.offline.trainers",
    "IQLConfig": "ss_trainers.offline.iql",
    "IQLTrainer": "ss_trainers.offline.trainers",
    "KeepBest": "ss_trainers.callbacks",
    "load_reward_model": "ss_trainers.reward_model",
    "LoraSettings": "ss_trainers.config",
    "make_population": "ss_trainers.populations",
    "NumericPolicy": "ss_trainers.offline.policies",
    "OfflineConfig": "ss_trainers.offline.settings",
    "OfflineGRPO": "ss_trainers.algorithms.offline_grpo",
    "OfflineGRPOConfig": "ss_trainers.algorithms.offline_grpo",
    "OfflineGRPOTrainer": "ss_trainers.hybrid",
    "OfflineAgent": "ss_trainers.offline_text.agent",
    "OfflineTrainer": "ss_trainers.offline.trainer",
    "OfflineTraining": "ss_trainers.offline.settings",
    "OnlineDPO": "ss_trainers.algorithms.online_dpo",
    "OnlineDPOConfig": "ss_trainers.algorithms.online_dpo",
    "OnlineDPOTrainer": "ss_trainers.trainers",
    "PolicyOptimization": "ss_trainers.algorithms.policy_optimization",
    "PPO": "ss_trainers.algorithms.ppo",
    "PPOConfig": "ss_trainers.algorithms.ppo",
    "PPOTrainer": "ss_trainers.trainers",
    "preference_pairs": "ss_trainers.reward_training",
    "PreferencePair": "ss_trainers.reward_training",
    "Recipe": "ss_trainers.algorithms.settings",
    "ReinforcePlusPlus": "ss_trainers.algorithms.reinforce_plus_plus",
    "ReinforcePlusPlusConfig": "ss_trainers.algorithms.reinforce_plus_plus",
    "ReinforcePlusPlusTrainer": "ss_trainers.trainers",
    "RejectionSampling": "ss_trainers.algorithms.rejection_sampling",
    "RejectionSamplingConfig": "ss_trainers.algorithms.rejection_sampling",
    "RejectionSamplingTrainer": "ss_trainers.trainers",
    "RewardModel": "ss_trainers.reward_model",
    "RewardModelConfig": "ss_trainers.reward_training",
    "RLAIF": "ss_trainers.algorithms.rlaif",
    "RLAIFConfig": "ss_trainers.algorithms.rlaif",
    "RLAIFTrainer": "ss_trainers.trainers",
    "RLOO": "ss_trainers.algorithms.rloo",
    "RLOOConfig": "ss_trainers.algorithms.rloo",
    "RLOOTrainer": "ss_trainers.trainers",
    "Shuffled": "ss_trainers.algorithms.shuffled",
    "ShuffledConfig": "ss_trainers.algorithms.shuffled",
    "StopOnRegression": "ss_trainers.callbacks",
    "TextTraining": "ss_trainers.offline_text.settings",
    "train": "ss_trainers.training",
    "train_on_preferences": "ss_trainers.reward_training",
    "train_on_returns": "ss_trainers.reward_training",
    "train_with": "ss_trainers.training",
    "train_with_cispo": "ss_trainers.training",
    "train_with_dapo": "ss_trainers.training",
    "train_with_gepo": "ss_trainers.training",
    "train_with_grpo": "ss_trainers.training",
    "train_with_gspo": "ss_trainers.training",
    "train_with_online_dpo": "ss_trainers.training",
    "train_with_ppo": "ss_trainers.training",
    "train_with_reinforce_plus_plus": "ss_trainers.training",
    "train_with_rlaif": "ss_trainers.training",
    "train_with_rloo": "ss_trainers.training",
    "train_with_vapo": "ss_trainers.training",
    "Trainer": "ss_trainers.trainer",
    "TrainingConfig": "ss_trainers.config",
    "TrainingProfile": "ss_trainers.config",
    "TransitionBatch": "ss_trainers.offline.transitions",
    "Transitions": "ss_trainers.offline.transitions",
    "turn_log": "ss_trainers.offline.turns",
    "TurnLog": "ss_trainers.offline.turns",
    "VAPO": "ss_trainers.algorithms.vapo",
    "VAPOConfig": "ss_trainers.algorithms.vapo",
    "VAPOTrainer": "ss_trainers.trainers",
}

__all__ = [*_EXPORTS]


def __getattr__(name: str) -> Any:
    module = _EXPORTS.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(module), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_EXPORTS})
