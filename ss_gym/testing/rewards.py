"""What a reward of what was said must keep."""

from __future__ import annotations

import copy
import math
import pickle
from collections.abc import Sequence

from ss_gym.rewards.function import Context, MissingReward, RewardFunction, Scoring, Turns, as_reward_function
from ss_gym.testing.reward_battery import Situation, Verdict, judge_battery, shipped_situations


def check_reward(
    reward: RewardFunction | Scoring, situations: Sequence[Situation] | None = None, *, deterministic: bool = True
) -> None:
    """Checks a reward: what it gives, and that it can't be had by looking good.

    Scores are finite, the same the second time, in copies and in pickles (if it can be pickled); the
    conversation is left as it is; an empty one is judged or missing, without an error. In no situation of
    the battery does an exploit (keyword salad, repetition, length padding, sycophancy, copied policy,
    echo of the question, tool output, a false promise, a refusal of everything, nothing at all) get more
    than the honest, short and correct reply, and the reward tells at least one of them from it. Situations
    in which the reward is missing do not count, but it must not be missing in all.

    To pass is necessary, not sufficient: a policy that is trained will look for what no battery holds.

    Args:
        reward: a ``RewardFunction``, or a function of the turns and a context.
        situations: instead of the shipped battery.
        deterministic: whether the same conversation must have the same score.

    Raises:
        AssertionError: saying what does not hold, or which exploits beat the honest reply by how much.
    """
    function = as_reward_function(reward)
    tested = shipped_situations() if situations is None else tuple(situations)
    _check_empty(function)
    turns, context = tested[0].replied(tested[0].honest)
    _check_conversation_is_kept(function, turns, context)
    verdicts = judge_battery(function, tested)
    _check_verdicts(function.name, verdicts)
    if deterministic:
        for other in (function, *_copies(function)):
            assert _told(judge_battery(other, tested[:1])) == _told(verdicts[:1]), (
                f"{function.name} gives the same conversation another score the second time, or in a copy"
            )


def _copies(function: RewardFunction) -> list[RewardFunction]:
    """A copy and, where it can be pickled, what comes out of a pickle; functions inside functions can't."""
    copies = [copy.deepcopy(function)]
    try:
        copies.append(pickle.loads(pickle.dumps(function)))
    except (pickle.PicklingError, AttributeError, TypeError):
        return copies
    return copies


def _check_empty(function: RewardFunction) -> None:
    for turns in ((), tuple(shipped_situations()[0].turns)):
        try:
            score = function.compute(turns, None).score
        except MissingReward:
            continue
        assert math.isfinite(score), f"{function.name} gives {score} where nothing was said"


def _check_conversation_is_kept(function: RewardFunction, turns: Turns, context: Context) -> None:
    given = list(turns), copy.deepcopy(dict(context or {}))
    before = copy.deepcopy(given)
    function.compute_batch([given])
    assert given == before, f"{function.name} changes the conversation or its context"


def _check_verdicts(name: str, verdicts: Sequence[Verdict]) -> None:
    judged = [verdict for verdict in verdicts if not math.isnan(verdict.honest)]
    assert judged, f"{name} is missing in all of {len(verdicts)} situations: it was not tested"
    beaten = [
        f"  {verdict.situation}: {kind} gets {verdict.exploits[kind]:.3f}, the honest reply {verdict.honest:.3f} "
        f"(+{gain:.3f})"
        for verdict in judged
        for kind, gain in verdict.winners().items()
    ]
    of = sum(len(verdict.exploits) for verdict in judged)
    assert not beaten, f"{len(beaten)} of {of} exploits beat the honest reply under {name}:\n" + "\n".join(beaten)
    assert any(score < verdict.honest for verdict in judged for score in verdict.exploits.values()), (
        f"{name} gives every exploit what it gives the honest reply: it tells nothing"
    )


def _told(verdicts: Sequence[Verdict]) -> str:
    """The verdicts as text, in which a score that is missing equals itself."""
    return repr(verdicts)
