"""What the tiny agent imitates: conversations of an imperfect agent, and drills in reading."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import gymnasium

from ss_baselines.agents import load_agent
from ss_baselines.agents.desk import thought, tool_call
from ss_baselines.agents.notes import NO_ORDER, listing, windows
from ss_baselines.agents.terse_grammar import TERSE_GRAMMAR
from ss_baselines.tiny.disguise import made_up_email, made_up_postal_code, made_up_title
from ss_baselines.tiny.tokenizer import word_pieces
from ss_gym.agents.conversation import Conversation
from ss_gym.commerce.prompt import compact_prompt, read_rules
from ss_gym.commerce.records import Rules
from ss_gym.json_text import encode as encode_json
from ss_gym.streams import Stream
from ss_gym.types import Completion, Message
from ss_trainers.chat import ChatFormat

ENV_ID = "StateSet/Refund-v0"


@dataclass(frozen=True, slots=True)
class Example:
    """One sequence to imitate.

    Attributes:
        ids: token ids.
        own: for each of them whether the agent wrote it.
    """

    ids: list[int]
    own: list[bool]


class ExampleWriter:
    """Puts a sequence together from what the environment said and what the agent did."""

    def __init__(self, chat: ChatFormat) -> None:
        self._chat = chat
        self.ids: list[int] = []
        self.own: list[bool] = []

    def read(self, *pieces: tuple[int, ...]) -> None:
        """Append what the agent reads."""
        for piece in pieces:
            self.ids += piece
            self.own += [False] * len(piece)

    def write(self, text: str) -> None:
        """Append what the agent writes."""
        piece = self._chat.completion_ids(text)
        self.ids += piece
        self.own += [True] * len(piece)

    def example(self) -> Example:
        """The sequence so far."""
        return Example(self.ids, self.own)


def episodes(agent_name: str, first_seed: int) -> Iterator[tuple[Conversation, bool]]:
    """Endless episodes of a scripted agent on train seeds, with whether each succeeded."""
    env = gymnasium.make(ENV_ID, prompt="compact")
    agent = load_agent(agent_name)
    seed = first_seed
    while True:
        observation, info = env.reset(seed=seed)
        conversation = Conversation.begin(observation, info)
        ended = False
        while not ended:
            completion: Completion = agent.act([conversation])[0]
            observation, _, terminated, truncated, info = env.step(completion.text)
            conversation.record(completion, observation, info)
            ended = terminated or truncated
        yield conversation, bool(info["success"])
        seed += 1


def encode(conversation: Conversation, chat: ChatFormat, disguise: Callable[[str], str] = str) -> Example:
    """A whole conversation as one sequence, exactly as a rollout would build it.

    Args:
        conversation: what was said.
        chat: how the model writes it.
        disguise: applied to everything that is read or written after the system prompt.
    """
    writer = ExampleWriter(chat)
    writer.read(chat.prompt_ids(conversation.system_prompt, conversation.tools))
    place, opening = 1, True
    while place < len(conversation):
        stop = place
        while stop < len(conversation) and conversation[stop]["role"] != "assistant":
            stop += 1
        if stop == len(conversation):
            break  # what came after the agent's last action has no answer to learn
        messages = [message | {"content": disguise(str(message["content"]))} for message in conversation[place:stop]]
        writer.read(*chat.message_ids(messages, opening=opening))
        writer.write(disguise(conversation.completions[stop].text))
        place, opening = stop + 1, False
    return writer.example()


def drill(stream: Stream, chat: ChatFormat) -> Example:
    """Made-up exchanges whose answers repeat, look up or compare what was just read.

    That is what a small model learns last from conversations alone, since each of them holds only
    a handful of ids and a single look-up. Here there are several a sequence. What is done after days
    were compared, or an item was found, is the same whatever the note says: what follows from such
    facts is learnt from the demonstrator alone, mistakes included.
    """
    writer = ExampleWriter(chat)
    days = stream.between(1, 30)
    window, credit, damage, fee = (stream.between(5, 120) for _ in range(4))
    rules = Rules(window, credit, damage, fee % 31, 100 * stream.between(50, 900), days)
    prompt = compact_prompt("refund", rules, "2024-06-01")
    writer.read(chat.prompt_ids(prompt))
    terms, opening = read_rules(prompt, Rules), True
    make_title = partial(made_up_title, stream, word_pieces(chat.tokenizer))
    for _ in range(3):
        kind = stream.choice(("copy", "item", "order", "days", "days"))
        if kind == "copy":
            exchange = [_say_back(stream, make_title, days) for _ in range(2)]
        elif kind == "days":
            exchange = [_compare_days(stream, terms) for _ in range(5)]
        else:
            exchange = _look_up_items(stream, make_title) if kind == "item" else _look_up_orders(stream, make_title)
        for message, answer in exchange:
            writer.read(*chat.message_ids([message], opening=opening))
            writer.write(answer)
            opening = False
    return writer.example()


_WISHES = ("I want a refund for", "please refund", "can I return", "My money back for", "it's about")
_REASONS = {"changed_mind": "I changed my mind.", "damaged": "It is broken.", "wrong_item": "It is the wrong one."}
_NOT_FOUND = TERSE_GRAMMAR["refuse_not_found"][0][0]
_FILLER = ("", "hi, ", "it's ", "sure: ", "here you go, ", "my details: ", "ok so ", "Yes, ")


# What is read, and the answer to it.
_Exchange = list[tuple[Message, str]]
_Title = Callable[[], str]


def _say_back(stream: Stream, make_title: _Title, days: int) -> tuple[Message, str]:
    """Something said that holds ids, and the answer that repeats them."""
    said, answer = _said_and_answered(stream, make_title, days)
    return {"role": "user", "content": said}, answer


def _look_up_orders(stream: Stream, make_title: _Title) -> _Exchange:
    """The account's orders are read, then one after another is opened for something that it holds.

    Some customers want what no order holds.
    """
    customer = f"C{stream.between(1000, 9999)}"
    holds = {
        str(stream.between(10_000, 89_999)): [make_title() for _ in range(stream.between(1, 3))]
        for _ in range(stream.between(1, 3))
    }
    orders = [
        {
            "order_id": order_id,
            "placed_on": f"2024-{stream.between(10, 12)}-{stream.between(10, 28)}",
            "status": "delivered",
            "items": titles,
        }
        for order_id, titles in holds.items()
    ]
    places = [(title, order_id) for order_id, titles in holds.items() for title in titles]
    wanted = stream.sample(places, min(3, len(places)))
    if stream.chance(0.5):
        wanted[stream.below(len(wanted))] = (make_title(), "")
    asked = []
    for title, order_id in wanted:
        said = f"{stream.choice(_WISHES)} the {_spoken(stream, title)}. I am {customer}"
        if order_id:
            calls = [tool_call(name, order_id=order_id) for name in ("get_order", "check_return_eligibility")]
            asked.append((said, thought(listing(holds, {title})) + "".join(calls)))
        else:
            asked.append((said, thought(listing(holds, ()), NO_ORDER) + _NOT_FOUND))
    return _read_once(asked, tool_call("list_orders", customer_id=customer), {"orders": orders})


def _compare_days(stream: Stream, terms: Rules) -> tuple[Message, str]:
    """The days since delivery are read and weighed against the windows, mostly nearly over."""
    limits = (terms.return_window_days, terms.credit_window_days, terms.damage_window_days)
    near = stream.choice(limits) + stream.between(-2, 2)
    days = max(1, near) if stream.chance(0.7) else stream.between(1, 130)
    order, reason = str(stream.between(10_000, 89_999)), stream.choice(tuple(_REASONS))
    facts = {
        "status": "delivered",
        "delivered_on": f"2024-0{stream.between(1, 9)}-{stream.between(10, 28)}",
        "days_since_delivery": days,
        "items": [{"item_id": f"{order}-1", "final_sale": False}],
    }
    said = f"{_REASONS[reason]} {encode_json(facts)}"
    quoted = tool_call("quote_refund", order_id=order, item_ids=[f"{order}-1"], reason=reason)
    return {"role": "user", "content": said}, thought(windows(terms, days, reason)) + quoted


def _look_up_items(stream: Stream, make_title: _Title) -> _Exchange:
    """An order of several items is read, then one after another of them quoted."""
    order = str(stream.between(10_000, 89_999))
    titles = [make_title() for _ in range(stream.between(2, 4))]
    items = [
        {
            "item_id": f"{order}-{number}",
            "title": title,
            "price": f"{stream.between(5, 400)}.{stream.below(100):02d}",
            "category": stream.choice(("home", "kitchen", "sports", "shoes", "electronics", "clothing", "toys")),
            "final_sale": stream.chance(0.1),
            "status": "ordered",
        }
        for number, title in enumerate(titles, 1)
    ]
    asked = []
    for number in stream.sample(range(len(items)), min(3, len(items))):
        reason = stream.choice(tuple(_REASONS))
        named = f"{stream.choice(_WISHES)} the {_spoken(stream, titles[number])}"
        of_order = stream.choice((" from", ", order", " of order"))
        quoted = tool_call("quote_refund", order_id=order, item_ids=[items[number]["item_id"]], reason=reason)
        remark = " final sale" if items[number]["final_sale"] else ""
        note = thought(f"{titles[number]} {number + 1} {items[number]['price']}{remark}")
        asked.append((f"{named}{of_order} {order}. {_REASONS[reason]}", note + quoted))
    return _read_once(asked, tool_call("get_order", order_id=order), {"order_id": order, "items": items})


def _read_once(asked: Sequence[tuple[str, str]], call: str, result: object) -> _Exchange:
    """Requests and their answers, for the first of which something is read that serves all of them."""
    (first, answer), *others = asked
    read: Message = {"role": "tool", "content": encode_json(result), "tool_call_id": ""}
    turns: _Exchange = [({"role": "user", "content": first}, call), (read, answer)]
    return [*turns, *(({"role": "user", "content": said}, answer) for said, answer in others)]


def _spoken(stream: Stream, title: str) -> str:
    """A title as a customer says it: some only say its last word, what kind of thing it is."""
    return title.rpartition(" ")[2] if stream.chance(0.15) else title


def _said_and_answered(stream: Stream, make_title: _Title, days: int) -> tuple[str, str]:
    order = str(stream.between(10_000, 89_999))
    item, title = f"{order}-{stream.between(1, 3)}", make_title()
    amount = f"{stream.between(5, 400)}.{stream.below(100):02d}"
    kind = stream.below(6)
    if kind <= 1:
        return _identity(stream)
    if kind == 2:
        shown = f"{order[:2]} {order[2:]}" if stream.chance(0.3) else order
        said = f"{stream.choice(_FILLER)}order {'#' if stream.chance(0.4) else ''}{shown} {title}"
        return said, tool_call("get_order", order_id=order)
    if kind == 3:
        said = encode_json({"order_id": order, "item_id": item, "title": title})
        return said, tool_call("quote_refund", order_id=order, item_ids=[item], reason="changed_mind")
    if kind == 4:
        return f"${amount} ok", f"I have refunded ${amount}. It takes {days} business days."
    payment = f"{order}-P{stream.between(1, 2)}"
    said = encode_json({"item_id": item, "refund": amount, "payment_id": payment})
    paid = {"amount": amount, "payment_id": payment, "reason": "changed_mind"}
    return said, tool_call("issue_refund", order_id=order, item_ids=[item], **paid)


def _identity(stream: Stream) -> tuple[str, str]:
    """An e-mail and a postal code, and the call that verifies them."""
    email, postal = made_up_email(stream), made_up_postal_code(stream)
    first, second = (email, postal) if stream.chance(0.7) else (postal, email)
    said = f"{stream.choice(_FILLER)}{first}{stream.choice((', ', ' and ', ' / ', '. '))}{second}"
    return said, tool_call("verify_identity", email=email, postal_code=postal)
