"""An agent's text as tokens, with the typed values in it: money, ids, dates, days, percents, e-mails, names.

Tokens are read once, from left to right. A value becomes one placeholder token (``<money>``,
``<days>`` …), so that phrases can be matched around it, and the episode's inventory tells whose
it is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from ss_gym.users.acts import Owner, Value, ValueKind
from ss_gym.users.values import Inventory

Words = Mapping[str, int | str | tuple[str, ...]]

_WORD = r"[a-z]+(?:'(?!s\b)[a-z]+|\d[a-z\d]*(?:-p?\d+)*)?"
_NUMBER = r"\$ ?\d[\d,]*(?:\.\d+)?|#?\d+(?:[-/.,]p?\d+)*[a-z]*"
_MARK = r"'s\b|[!?]+|\.(?=[\s\"')\]*_]|$)|\n\s*(?:(?:[-*•]+|\d{1,2}[.)])\s)?|(?<= )-+(?= )"
_TOKENS = re.compile(rf" ?({_WORD}|[,;:()%@]|{_NUMBER}|#|{_MARK})", re.ASCII).findall
# Bounded, so that no text takes quadratic time.
_MAIL = re.compile(r"[a-z\d][\w.+-]{0,63}@[a-z\d-]{1,63}(?:\.[a-z\d-]{1,63}){1,4}")
_SPACES = re.compile(r" {2,}")
_GRAVE = re.compile(r"(?<=[A-Za-z])`(?=[A-Za-z])")  # "can`t"; around code in Markdown there is a blank
_NO_DIGITS = re.compile(r"\D")
# A line that goes on in lower case is wrapped, not a new sentence.
_WRAPPED = re.compile(r"(?<=[A-Za-z\d,$])[ \t]*\n(?=[a-z])")
# An emoji before a capital letter ends a sentence: "Sorry \U0001f614 It's too late".
_EMOJI = re.compile(r"(?<=\w)\s*[\u2190-\u2bff\U0001f000-\U0001faff]+\ufe0f?(?=\s+[A-Z])")
_TYPOGRAPHY = str.maketrans(
    dict.fromkeys("’‘´\u02bc\uff07", "'")
    | dict.fromkeys("“”", '"')
    | dict.fromkeys("–−\u2010\u2011·", "-")
    | dict.fromkeys("✓✔✅", " done, ")
    | {"—": " - ", "…": ". ", "\u00a0": " ", "？": "?", "！": "!", "\r": "\n"}
)

_MONTHS = {
    name: number
    for number, names in enumerate(
        "january jan|february feb|march mar|april apr|may|june jun|july jul|august aug|"
        "september sep sept|october oct|november nov|december dec".split("|"),
        start=1,
    )
    for name in names.split()
}
_COUNTS = {
    word: number
    for number, word in enumerate(
        "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen "
        "sixteen seventeen eighteen nineteen twenty".split(),
        start=1,
    )
} | {"thirty": 30, "forty": 40, "fifty": 50, "sixty": 60, "ninety": 90}
# Marks that stand for themselves, whatever is around them; an exclamation mark is a full stop.
PLAIN_MARKS = {mark: (mark,) for mark in ",;:()?"} | {"!": (".",)}
# Words that start a value when what follows fits.
VALUE_WORDS = frozenset(_MONTHS) | frozenset(_COUNTS)
_CURRENCIES = frozenset(["dollars", "dollar", "usd", "bucks", "euros", "euro", "eur", "pounds", "gbp"])
_DAY_UNITS = {"day": 1, "days": 1, "week": 7, "weeks": 7}
_MONTH_UNITS = frozenset(["month", "months"])
_MORE = frozenset(["more", "extra", "additional", "further"])
_BUSINESS = frozenset(["business", "working", "banking", "bank", "work"])
_ABBREVIATIONS = frozenset(["no", "nr", "approx", "incl", "st"])
_DIGITS = frozenset("#$0123456789")
_AMOUNTS = frozenset(["refund", "refunding", "refunded", "amount", "total", "sum", "credit"])
_LONGEST_NUMBER = 24  # characters; nothing longer is a value of a shop
_DETERMINERS = frozenset(["the", "your", "this", "that", "a", "an", "both", "and"])


class TokenStream:
    """An agent's message as normalised tokens.

    Attributes:
        tokens: words in lower case, contractions written out, values as placeholders.
        values: ``(position in tokens, value)``, in order.
        marks: ``(position in tokens, feature bits)`` of the adverbs that were left out.
    """

    __slots__ = ("_inventory", "_mails", "_raw", "marks", "tokens", "values")

    def __init__(self, text: str, inventory: Inventory, words: Words) -> None:
        if not text.isascii():
            text = _EMOJI.sub(".", text.translate(_TYPOGRAPHY))
        if "\n" in text:
            text = _WRAPPED.sub(" ", text)
        if "`" in text:
            text = _GRAVE.sub("'", text)
        if "  " in text:
            text = _SPACES.sub(" ", text)
        text = text.lower()
        self._mails: list[str] = []
        if "@" in text:
            self._mails = _MAIL.findall(text)
            text = _MAIL.sub("@", text)
        self._inventory = inventory
        self._raw = raw = _TOKENS(text)
        self.tokens: list[str] = []
        self.values: list[tuple[int, Value]] = []
        self.marks: list[tuple[int, int]] = []
        self._read(raw, words)

    def _read(self, raw: list[str], words: Words) -> None:
        tokens = self.tokens
        phrases = self._inventory.phrases
        after = 0  # where the value that was read last ends
        for position, token in enumerate(raw):
            if position < after:
                continue
            if token in phrases:
                after = self._phrase(position)
                if after:
                    continue
            word = words.get(token)
            if word is None:
                if token >= "a":
                    tokens.append(token)
                elif token != ".":
                    after = self._number(position)
                elif not self._is_abbreviation(position):
                    tokens.append(token)
            elif word.__class__ is tuple:
                tokens += word
            elif word.__class__ is int:
                if word:
                    self.marks.append((len(tokens), word))
            else:
                after = self._value_word(position)

    def _add(self, kind: ValueKind, value: int | str, placeholder: str) -> None:
        self.values.append((len(self.tokens), self._inventory.value(kind, value)))
        self.tokens.append(placeholder)

    def _next(self, position: int) -> str:
        return self._raw[position] if position < len(self._raw) else ""

    def _phrase(self, position: int) -> int:
        """The position after the longest inventory text that starts here; 0 if none does."""
        raw = self._raw
        best: tuple[int, bool, str] | None = None
        for rest, kind, value, needs_determiner in self._inventory.phrases[raw[position]]:
            if needs_determiner and (not position or raw[position - 1] not in _DETERMINERS):
                continue
            size = len(rest)
            if not rest or tuple(raw[position + 1 : position + 1 + size]) == rest:
                rank = (size, (kind, value) in self._inventory.own, value)
                if best is None or rank > best:
                    best, found = rank, kind
        if best is None:
            return 0
        self._add(found, best[2], f"<{found}>")
        return position + 1 + best[0]

    def _value_word(self, position: int) -> int:
        """Reads a value that starts with a month or a number word, or else the plain word."""
        token = self._raw[position]
        if token in _MONTHS:
            after = self._date(_MONTHS[token], position + 1)
            if after:
                return after
        if token in _COUNTS:
            number, after = _COUNTS[token], position + 1
            if number >= 20 and _COUNTS.get(self._next(after), 99) < 10:
                number, after = number + _COUNTS[self._next(after)], after + 1
            after = self._measure(number, after)
            if after:
                return after
        self.tokens.append(token)
        return position + 1

    def _number(self, position: int) -> int:
        """Reads the value or mark at ``position``, which is no full stop and does not start with a letter."""
        token = self._raw[position]
        first = token[0]
        if len(token) > _LONGEST_NUMBER:
            self.tokens.append("<n>")
            return position + 1
        if first == "$":
            self._amount(token[1:])
            return position + 1
        if first == "@":
            if self._mails:
                self._add("email", self._mails.pop(0), "<email>")
            return position + 1
        if token == "#":
            self.tokens.append("number")
            return position + 1
        if first == "#" or first.isdigit():
            return self._digits(token.lstrip("#"), position)
        self.tokens.append(_mark(token))
        return position + 1

    def _is_abbreviation(self, position: int) -> bool:
        """Whether the full stop at ``position`` ends no sentence: "no. 48213", "e.g. a scarf"."""
        tokens = self.tokens
        last = tokens[-1] if tokens else ""
        if (last == "g" or last == "e") and tokens[-2:] in (["e", "g"], ["i", "e"]):
            del tokens[-2:]
            return True
        return last in _ABBREVIATIONS and self._next(position + 1)[:1] in _DIGITS

    def _digits(self, token: str, position: int) -> int:
        raw_next = self._next(position + 1)
        if token.isdigit():
            return self._integer(token, position)
        if "-" in token:
            if len(token) == 10 and token[4] == token[7] == "-":
                self._add("date", token, "<date>")
                return position + 1
            return self._hyphenated(token, position)
        if "/" in token:
            return self._slashed(token, position)
        digits = token.rstrip("abcdefghijklmnopqrstuvwxyz")
        if digits != token:
            return self._suffixed(digits, token[len(digits) :], position)
        if raw_next == "%" or raw_next == "percent":
            share = token.replace(",", ".")
            if share.replace(".", "", 1).isdigit():
                self._add("percent", round(float(share)), "<percent>")
            else:
                self.tokens.append("<n>")
            return position + 2
        self._amount(token)
        return position + (2 if raw_next in _CURRENCIES else 1)

    def _integer(self, token: str, position: int) -> int:
        number = int(token)
        after = self._measure(number, position + 1)
        if after:
            return after
        if self.tokens and self.tokens[-1] == "day":  # "up to day 30"
            self.tokens.pop()
            self._add("days", number, "<day>")
            return position + 1
        following = self._next(position + 1)
        if following in _MONTHS and number <= 31 and number:
            return self._day_first(number, position + 1)
        if len(token) == 5 or self._raw[position][0] == "#":
            self._add("order_id", token, "<order>")
            return position + 1
        if len(token) == 2 and len(following) == 3 and following.isdigit():
            grouped = token + following
            if self._inventory.value("order_id", grouped).owner != "unknown" or self._names_order():
                self._add("order_id", grouped, "<order>")
                return position + 2
        if self.tokens and self.tokens[-1] in _CURRENCIES:
            self.tokens.pop()
            self._add("money", number * 100, "<money>")
        elif self._names_amount() and ("money", number * 100) in self._inventory.own:
            self._add("money", number * 100, "<money>")
        else:
            self.tokens.append("<n>")
        return position + 1

    def _amount(self, text: str) -> None:
        """Adds an amount, or a plain number where the text is none, such as "6.5,7"."""
        cents = _cents(text)
        if cents < 0:
            self.tokens.append("<n>")
        else:
            self._add("money", cents, "<money>")

    def _names_amount(self) -> bool:
        """Whether the words before are such as "a refund of"."""
        return not _AMOUNTS.isdisjoint(self.tokens[-2:])

    def _names_order(self) -> bool:
        return bool(self.tokens) and self.tokens[-1] in ("order", "number", "id")

    def _measure(self, number: int, position: int) -> int:
        """Reads days, months, a percent or money whose unit stands at ``position``; 0 if none does."""
        unit = self._next(position)
        if unit in ("to", "or", "-", "and") and self._next(position + 1).isdigit():  # "3 to 5 days"
            ahead = position + 2
            if self._next(ahead) in _BUSINESS or self._next(ahead) in _DAY_UNITS:
                self._add("days", number, "<n>")
                return position + 1
        if unit in _MORE:  # "2 more days"
            position += 1
            unit = self._next(position)
        business = unit in _BUSINESS
        days = _DAY_UNITS.get(self._next(position + 1) if business else unit)
        if days:
            self._add("days", number * days, "<bdays>" if business else "<days>")
            return position + (2 if business else 1)
        if unit in _MONTH_UNITS and self._inventory.counts_months:
            self._add("months", number, "<months>")
            return position + 1
        if unit in ("%", "percent"):
            self._add("percent", number, "<percent>")
            return position + 1
        if unit == "per" and self._next(position + 1) == "cent":
            self._add("percent", number, "<percent>")
            return position + 2
        if unit in _CURRENCIES:
            self._add("money", number * 100, "<money>")
            return position + 1
        return 0

    def _hyphenated(self, token: str, position: int) -> int:
        head, _, tail = token.partition("-")
        if len(head) == 5:
            if tail.isdigit():
                self._add("item_id", token, "<item>")
                return position + 1
            if tail[:1] == "p":
                self._add("payment_id", self._spelled("payment_id", token), "<id>")
                return position + 1
        if head.isdigit() and tail.isdigit():  # "3-5 business days"
            self._raw[position] = tail
            if self._next(position + 1) in _BUSINESS or self._next(position + 1) in _DAY_UNITS:
                self._add("days", int(head), "<n>")
            return self._integer(tail, position)
        self.tokens.append("<n>")
        return position + 1

    def _spelled(self, kind: ValueKind, token: str) -> str:
        upper = token.upper()
        return upper if self._inventory.value(kind, upper).owner != "unknown" else token

    def _suffixed(self, digits: str, letters: str, position: int) -> int:
        if letters in ("st", "nd", "rd", "th") and digits.isdigit():
            after = position + 2 if self._next(position + 1) == "of" else position + 1
            if self._next(after) in _MONTHS:
                return self._day_first(int(digits), after)
        elif letters in ("d", "day", "days") and digits.isdigit():
            self._add("days", int(digits), "<days>")
            return position + 1
        elif letters in _CURRENCIES:
            self._amount(digits)
            return position + 1
        elif len(digits) == 1 and len(letters) == 2 and self.tokens and self.tokens[-1][-1:].isdigit():
            outward = self.tokens.pop()
            self._add("postal_code", f"{outward} {digits}{letters}", "<postal_code>")
            return position + 1
        self.tokens.append("<n>")
        return position + 1

    def _slashed(self, token: str, position: int) -> int:
        parts = token.split("/")
        if len(parts) == 3 and all(part.isdigit() for part in parts):
            month, day, year = (int(part) for part in parts)
            if len(parts[0]) == 4:
                year, month, day = month, day, year
            year += 2000 if year < 100 else 0
            swapped = f"{year:04d}-{day:02d}-{month:02d}"
            date = f"{year:04d}-{month:02d}-{day:02d}"
            if month > 12 or (self._inventory.value("date", date).owner == "unknown" != self._owner(swapped)):
                date = swapped
            self._add("date", date, "<date>")
        else:
            self.tokens.append("<n>")
        return position + 1

    def _owner(self, date: str) -> Owner:
        return self._inventory.value("date", date).owner

    def _day_first(self, day: int, position: int) -> int:
        """Reads "3 March 2025", whose month stands at ``position``."""
        month = _MONTHS[self._next(position)]
        return self._finish_date(month, day, position + 1)

    def _date(self, month: int, position: int) -> int:
        """Reads "March 3, 2025", whose day stands at ``position``; 0 if no day stands there."""
        token = self._next(position)
        digits = token.rstrip("stndrh")
        if not digits.isdigit() or not 1 <= int(digits) <= 31:
            return 0
        return self._finish_date(month, int(digits), position + 1)

    def _finish_date(self, month: int, day: int, position: int) -> int:
        after = position + 1 if self._next(position) in (",", "of") else position
        year = self._next(after)
        if len(year) == 4 and year.isdigit() and year[:2] in ("19", "20"):
            self._add("date", f"{year}-{month:02d}-{day:02d}", "<date>")
            return after + 1
        self._add("date", self._inventory.date_on(month, day), "<date>")
        return position


def _mark(token: str) -> str:
    r"""A punctuation mark in one spelling: "?!" is "?", a new line is "\\n", or "\\n-" before a list item."""
    first = token[0]
    if first in "!?":
        return "?" if "?" in token else "."
    if first == "\n":
        return "\n" if token.isspace() else "\n-"
    return first


def _cents(text: str) -> int:
    """Cents of an amount: "1,234.50", "20", "20.5", "20,00"; -1 if what follows the point is no number."""
    text = text.strip()
    whole, dot, fraction = text.rpartition(".")
    if not dot:
        whole, comma, fraction = text.rpartition(",")
        if not comma or len(fraction) != 2:
            whole, fraction = text, ""
    if not whole.isdigit():
        whole = _NO_DIGITS.sub("", whole) or "0"
    cents = (fraction + "00")[:2]
    return int(whole) * 100 + int(cents) if cents.isdigit() else -1
