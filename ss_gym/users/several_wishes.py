"""A customer with several wishes: one scripted customer for each, who take turns."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ss_gym.commerce.records import Effect
from ss_gym.rewards.joint import JointAudit
from ss_gym.scenarios import Scenario
from ss_gym.users.acts import Act
from ss_gym.users.agenda import UserReply
from ss_gym.users.course import LOOKING_BACK, Course
from ss_gym.users.persona import Persona
from ss_gym.users.simulator import UserRequest
from ss_gym.users.spoken import SpokenUser
from ss_gym.users.told import Told
from ss_gym.users.wish import Wish

# How a wish ends after which the next one comes up, and what is said before that.
_GOES_ON = {"satisfied": "next", "refusal_accepted": "next", "withdrawn": "instead"}


class SeveralWishes:
    """What an episode about several wishes keeps of the customer; see ``Wish``, whose interface it has.

    Args:
        scenario: all wishes together.
        wishes: each of them.
    """

    __slots__ = ("_course", "_scenario", "_wishes", "audit")

    def __init__(self, scenario: Scenario, wishes: Sequence[Wish]) -> None:
        self._scenario = scenario
        self._wishes = wishes
        self._course = Course(scenario.parts)
        self.audit = JointAudit(scenario, [wish.audit for wish in wishes], self._course)

    @property
    def told(self) -> Told:
        """What they have been told of the wish that is talked about."""
        return self._current.told

    def open(self) -> str:
        """Their first message."""
        return self._current.open()

    def read(self, text: str) -> tuple[Act, ...]:
        """What the agent says, as one hears it who has the present wish in mind."""
        course = self._course
        acts = self._current.read(text)
        # What it says of an earlier wish has the words of that one, and is read in them where it may matter.
        looks_back = any([act.kind in LOOKING_BACK for act in acts])
        settled = enumerate(self._wishes[: course.current])
        course.take_in(
            text, [wish.read(text) if looks_back or course.names(place, text) else () for place, wish in settled]
        )
        return acts

    def hear(self, acts: Sequence[Act], effects: frozenset[Effect]) -> None:
        """Takes in what the agent says to them."""
        self._current.hear(self._course.own_acts(acts, effects), self._own(effects))

    def respond(self, acts: Sequence[Act], effects: frozenset[Effect]) -> UserReply:
        """Their answer; it opens the next wish where this one is settled."""
        reply = self._current.respond(self._course.own_acts(acts, effects), self._own(effects))
        before = _GOES_ON.get(reply.ended_by)
        if before is None or not self._course.goes_on():
            return reply
        settled = self._current
        self._course.finish(reply.ended_by)
        self._current.user.remember(settled.user)
        # Some people write no full stops.
        between = " " if reply.text.endswith((".", "!", "?")) else "\n"
        return UserReply(f"{reply.text}{between}{self._current.user.open(before)}")

    def silence(self) -> UserReply:
        """Their answer to nothing."""
        return self._current.silence()

    def spoken(self, persona: Persona, opening: str) -> SpokenWishes:
        """The same customer, played from outside."""
        user = SpokenUser(self._scenario, self.told, persona, opening)
        user.turn_to(self._course.part, self.told)
        return SpokenWishes(user, self._course, lambda: self.told)

    @property
    def _current(self) -> Wish:
        return self._wishes[self._course.current]

    def _own(self, effects: frozenset[Effect]) -> frozenset[Effect]:
        return self._course.of(self._course.current, effects)


class SpokenWishes:
    """Follows a customer who is played from outside through their wishes, in the order of the briefing.

    Args:
        user: the customer.
        course: how far the conversation has come.
        told: gives what they have been told of the wish that is talked about.
    """

    __slots__ = ("_course", "_told", "_user")

    def __init__(self, user: SpokenUser, course: Course, told: Callable[[], Told]) -> None:
        self._user = user
        self._course = course
        self._told = told

    def hear(self, text: str, acts: Sequence[Act]) -> UserRequest:
        """See ``SpokenUser``."""
        return self._user.hear(text, acts)

    def answer(self, reply: str, effects: frozenset[Effect]) -> UserReply:
        """See ``SpokenUser``; once a wish is settled and they name what the next is about, it is about that."""
        course, user = self._course, self._user
        answer = user.answer(reply, course.of(course.current, effects))
        if not course.goes_on() or answer.consents:
            return answer
        if answer.ended_by:  # they leave before they came to the rest
            return answer._replace(ended_by="gave_up")
        ended_by = user.ending(course.of(course.current, effects))
        if ended_by != "gave_up" and course.names(course.current + 1, answer.text):
            course.finish(ended_by)
            user.turn_to(course.part, self._told())
        return answer
