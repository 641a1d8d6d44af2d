"""What users ask for, taken out of what they said: English, by the forms in which people ask.

Nothing here knows what a wish is about. A sentence is one if it asks ("can you", "I would like", a question) or tells
somebody to do something ("cancel my order"); what was said just before belongs to it. The next sentence is another one
if it says so ("also", an item of a list) or names another thing ("my subscription", "order 5").
"""

from __future__ import annotations

import re

# What wishes begin with that are told as an order; those of the second line also go on with a wish ("and get it back").
_VERBS = (
    "activate|add|apply|arrange|book|call|cancel|change|check|close|confirm|connect|correct|create|deactivate|delete|"
    "deliver|disable|enable|end|exchange|explain|extend|fix|forward|install|issue|move|pause|postpone|prepare|process|"
    "reactivate|recommend|redirect|refund|remove|renew|reorder|repair|replace|reschedule|resend|reset|resume|return|"
    "schedule|send|ship|start|stop|subscribe|swap|switch|tell|track|transfer|translate|turn|unsubscribe|update|upgrade|"
    "verify|write"
)
_VERBS_ALONE = "bring|buy|find|get|give|help|let|look|make|open|order|pay|print|provide|put|remind|set|show|sort|take"
_ASKING = (
    r"please\s+\w+|(?:can|could|would|will) (?:you|someone|somebody)\b|(?:can|could|may|shall) (?:i|we)\b|"
    r"(?:i|we)(?:['’]d| would) (?:also |really )?(?:like|love|rather|prefer|appreciate)\b|"
    r"(?:i|we) (?:also |just |really )?(?:want|need|wish|require|must|have to)\b|is it possible\b|help me\b|"
    r"(?:where|when|how|what|why|who|which) "
    r"(?:is|are|was|were|will|would|do|does|did|can|could|should|much|many|long)\b"
)
_ASKS = re.compile(
    rf"\?|\b(?:{_ASKING})|^(?:{_VERBS}|{_VERBS_ALONE})\b|\b(?:and|but|so) (?:want|need|would like)\b|"
    r"\b(?:i|we)(?:['’]m| am|['’]re| are) (?:looking|trying|calling)\b",
    re.I,
)
# Where a sentence goes on with another wish.
_JOINT = re.compile(
    rf"(?:\s*[,;]\s*|\s+)(?:and|then|plus)(?:\s+(?:then|also))*\s+(?=(?:{_ASKING}|(?:{_VERBS})\b))|"
    rf"\s*[,;]\s+(?:also\s+)?(?=(?:{_ASKING}|(?:{_VERBS})\b))",
    re.I,
)
_SENTENCES = re.compile(r"(?<=[.!?;:…])(?<!\bno\.)\s+", re.I)
_BULLET = re.compile(r"^\s*(?:[-*•]|\(?\d{1,2}[.)])(?:\s+|$)")
_OPENERS = re.compile(r"^(?:and|also|then|next|plus|second(?:ly)?|third(?:ly)?|finally|lastly)\b[\s,:]*", re.I)
_GREETING = re.compile(
    r"^(?:(?:(?:hi|hello|hey|hiya|good (?:morning|afternoon|evening|day)|greetings|dear \w+)(?: there| all| team)?|"
    r"thanks?|thank you|yes|yeah|yep|sure|so|but|oh|well|ok|okay|great|perfect|first(?:ly)?)\b[\s,.!:;–-]+)+",
    re.I,
)
# What is said to be polite, in a hurry, or in answer to a proposal, and asks for nothing.
_EMPTY = re.compile(
    r"(?:(?:can|could|would|will) (?:you|someone|somebody|anyone)(?: please)? help(?: me)?(?: out)?(?: with .{0,24})?|"
    r"(?:please )?(?:help|advise|hurry(?: up)?|be quick|(?:just )?do it(?: now)?)|i need (?:some |your )?help|"
    r"(?:please )?(?:i (?:want|need|would like)|do|help me with)(?: to ask)? (?:something|a favou?r|the following|"
    r"(?:these|a few|some|\w+) things)|how are you.{0,12}|what do you need.{0,12}|"
    r"(?:(?:yes|yeah|yep|sure|fine|alright|no)[\s,]*)*(?:please|go ahead)?(?: do| go ahead| proceed| please)?|"
    r"(?:many )?thanks.{0,24}|thank you.{0,24}|i hope you can help.{0,12}|.{0,12}(?:reply|hear(?:ing)? from you))\W*",
    re.I,
)
# Words that do not say what a wish is about.
_FUNCTION = frozenset(
    "a again all an and any as at back be by can could d do for from get give have i if in instead into is it like ll "
    "m me much my need now of off on one or our please possible re s so soon that the them then this to too up us want "
    "we will with would you your".split()
)
_SAYS_LITTLE = _FUNCTION.union(_VERBS.split("|"))
_WORD = re.compile(r"[a-z0-9]+", re.I)
# What a sentence names: "my tea subscription", "the lamp", "order #5".
_NAMED = re.compile(r"(?:\b(?:my|our|the|order|number)\s+#?|#)\s*([a-z0-9]{2,}(?:\s+[a-z0-9]{2,})?)", re.I)
_THING = r"(?:thing|question|request|matter|point|issue|topic|favou?r|wish|concern|problem)s?\b"
# How users come to something else.
_MARK = re.compile(
    rf"\b(?:(?:(?:one|some|a few|two) (?:more|other|last|further)|an ?other|"
    rf"(?:a|the) (?:different|further|second|next|last)|other|next) {_THING}|"
    r"(?:i have|there['’]?s|there is) something else\b|what (?:i|we) (?:need|want) instead\b|by the way\b|"
    r"(?:in addition|additionally|besides|furthermore|moreover)\b|"
    r"while (?:i|we)(?:['’]m| am|['’]re| are) (?:here|at it)\b|also\b|as well\b)",
    re.I,
)
_AFTER_MARK = re.compile(
    r"^\s*(?:(?:that i |i )?(?:need|want) instead|instead|for you|though|please)?[\s,.:;!–-]*", re.I
)
_MORE = re.compile(
    r"\b(?:anything|something|what) (?:else|more|further)\b|\bany (?:other|further|more) (?:question|request|thing)|"
    r"\b(?:other|further) questions\b",
    re.I,
)
_TAKEN_BACK = re.compile(
    r"\b(?:never ?mind|on second thoughts?|forget (?:about )?(?:it|that|this)|(?:leave|scrap|drop) (?:it|that)\b|"
    r"(?:let['’]?s|rather|better) not\b|don['’]?t bother)",
    re.I,
)
_ALL = re.compile(
    r"\b(?:that|it)(?:['’]?s| is| was| would be|['’]d be|['’]ll be| will be) (?:all|it|everything)\b|"
    r"\bnothing (?:else|more)\b|\b(?:we|i)(?:['’]re| are|['’]m| am) (?:all set|done)\b",
    re.I,
)
_NO = re.compile(r"\W*(?:no|nope|nah|none|nothing)\b", re.I)
_BLANKS = re.compile(r"[^\S\n]+")
# A wish with what was said before it has at most so many characters; and so many of a message are read.
_MOST_CHARS, _MOST_READ = 160, 4_000


def wishes_in(text: str) -> list[str]:
    """What a message asks for, in the user's own words and order; empty if it asks for nothing.

    >>> wishes_in("Hi! I'd like a refund for order 12 and please cancel my tea subscription. Thanks!")
    ["I'd like a refund for order 12", 'please cancel my tea subscription']
    >>> wishes_in("The bath towel was a present. Has it been delivered? What can I do?")
    ['The bath towel was a present. Has it been delivered? What can I do?']
    """
    found: list[str] = []
    before: list[str] = []
    for sentence, opens in _sentences(text):
        first, *others = _clauses(sentence) or [""]
        if not first:
            before.append(sentence)
            continue
        wish, before = _joined([*before, first]), []
        if found and not opens and not _names_other(found[-1], wish):
            found[-1] = _joined([found[-1], wish], last=False)
        else:
            found.append(wish)
        found += others
    return list(dict.fromkeys(wish.rstrip(" .!;,:") for wish in found))


def further_wishes(text: str, announced: bool = False) -> list[str]:
    """What a message asks for beside what was asked for before; empty where it goes on with the same.

    >>> further_wishes("Could I have the black one?"), further_wishes("OK. One more thing: where is order 5?")
    ([], ['where is order 5?'])

    Args:
        text: what the user says.
        announced: whether they may come to something else now, as after "Is there anything else?": what they ask for
            is it if it names something ("my parcel"). Without, they must say so themselves ("one more thing", "also").
    """
    text = text[:_MOST_READ]
    mark = _MARK.search(text)
    if mark is None:
        return [wish for wish in wishes_in(text) if _NAMED.search(wish)] if announced else []
    after = _AFTER_MARK.sub("", text[mark.end() :], count=1)
    if wishes := wishes_in(after) or substance(after):
        return wishes
    # "Cancel order 5 as well."
    start = max(text.rfind(end, 0, mark.start()) for end in ".!?\n") + 1
    return wishes_in(text[start : mark.end()])


def substance(text: str) -> list[str]:
    """A message that asks for nothing, in so many words, as what it may be about; empty if it says next to nothing.

    >>> substance("Hello! My lamp arrived broken."), substance("Hello there!")
    (['My lamp arrived broken'], [])
    """
    said = _joined([sentence for sentence, _ in _sentences(text)], last=False)
    return [said.rstrip(" .!;,:")] if len(said.split()) > 3 else []


def about(wish: str) -> set[str]:
    """The words of a wish that say what it is about, in lower case.

    >>> sorted(about("Please cancel my tea subscription"))
    ['subscription', 'tea']
    """
    return {word.lower() for word in _WORD.findall(wish)} - _SAYS_LITTLE


def asks_for_more(text: str) -> bool:
    """Whether an agent asks if there is anything else, and so takes what was on for settled."""
    return _MORE.search(text[-_MOST_READ:]) is not None


def takes_back(text: str) -> bool:
    """Whether a user takes back what they asked for ("never mind", "leave it") before they come to something else."""
    text = text[:_MOST_READ]
    mark = _MARK.search(text)
    return _TAKEN_BACK.search(text if mark is None else text[: mark.start()]) is not None


def has_all(text: str, asked: bool = False) -> bool:
    """Whether a user says that nothing is left: "that's all", "nothing else".

    Args:
        text: what they say.
        asked: whether the agent had asked for anything else, so that "no" says it, too.
    """
    return _ALL.search(text[-_MOST_READ:]) is not None or (asked and _NO.match(text) is not None)


def _sentences(text: str) -> list[tuple[str, bool]]:
    """Sentences without greetings and mere politeness, and whether each says that it is another matter."""
    found = []
    opens = False
    # Runs of blanks would make what follows slow, and so would whole documents.
    for line in _BLANKS.sub(" ", text[:_MOST_READ]).splitlines():
        for part in _SENTENCES.split(line):
            said, bullets = _BULLET.subn("", part.strip())
            said = _GREETING.sub("", said.strip())
            said, openers = _OPENERS.subn("", said)
            opens = opens or bool(bullets or openers)
            if re.search(r"\w", said) and not _EMPTY.fullmatch(said):
                found.append((said, opens))
            # A number by itself belongs to what follows it.
            opens = part.endswith(";") or bool(bullets and not said)
    return found


def _clauses(sentence: str) -> list[str]:
    """The wishes of a sentence; empty if it asks for nothing.

    What says nothing of its own ("and refund me", "can you change it") belongs to what stands before it, as does what
    follows on no wish.
    """
    wishes: list[str] = []
    start = end = 0
    for joint in [*_JOINT.finditer(sentence), None]:
        stop = joint.start() if joint else len(sentence)
        clause = sentence[end:stop]
        if wishes and not (_ASKS.search(wishes[-1]) and _ASKS.search(clause) and about(clause)):
            wishes[-1] = sentence[start:stop]
        else:
            start = end
            wishes.append(clause)
        end = joint.end() if joint else stop
    return wishes if any(map(_ASKS.search, wishes)) else []


def _names_other(wish: str, following: str) -> bool:
    """Whether what follows a wish names something, as the wish does, and something else."""
    known = {word.lower() for word in _WORD.findall(wish)}
    named = {word.lower() for words in _NAMED.findall(following) for word in words.split()}
    return _NAMED.search(wish) is not None and bool(named - known)


def _joined(parts: list[str], last: bool = True) -> str:
    """Sentences in one, as many as are not too long: the last of them, or the first."""
    kept = ""
    for part in reversed(parts) if last else parts:
        joined = f"{part} {kept}" if last else f"{kept} {part}"
        if kept and len(joined) > _MOST_CHARS:
            break
        kept = joined.strip()
    return kept
