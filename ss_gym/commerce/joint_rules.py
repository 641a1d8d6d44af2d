"""Several policies in one: the rules and the text of a desk that serves the wishes of other families.

A rule of such a desk is called as its family and the family call it together: ``refund_return_window_days``.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields, make_dataclass
from functools import cache
from operator import attrgetter
from typing import Any

from ss_gym.commerce.rules import PolicyRules, parameter_names, units

_NAME = re.compile(r"`(\w+)`")
_TITLE = re.compile(r"# (.+) policy\n")
_WHO = "You answer customers of an online shop"
# What the joint policy says itself.
_COMMON = ("Amounts are in dollars.", "A limit includes its last day.", "The values of names")


def join_rules(name: str, module: str, parts: Mapping[str, type[PolicyRules]]) -> type[PolicyRules]:
    """The class of rules that holds those of several families.

    Args:
        name: of the class.
        module: that it is defined in.
        parts: the class of rules of each family.
    """
    short = {f"{family}_{rule}": f"{family}_{own.SHORT[rule]}" for family, own in parts.items() for rule in units(own)}
    names = [(rule, f"{family}_{rule}") for family, own in parts.items() for rule in units(own)]
    count = Counter(rule for rule, _ in names)
    unique = {rule: joint for rule, joint in names if count[rule] == 1}

    def alone(rules: Any, name: str) -> int:
        """A rule that only one of the families has, by its own name: tools ask for it without knowing the family."""
        if name not in unique:
            raise AttributeError(name)
        value: int = getattr(rules, unique[name])
        return value

    namespace = {"SHORT": short, "WINDOW": "", "PARTS": dict(parts), "__module__": module, "__getattr__": alone}
    joint: type[PolicyRules] = make_dataclass(
        name, [(rule, int) for rule in short], namespace=namespace, frozen=True, slots=True
    )
    return joint


def parts_of(rules: type[PolicyRules]) -> Mapping[str, type[PolicyRules]]:
    """The rules of the families of a joint class, by family; empty for any other class."""
    parts: Mapping[str, type[PolicyRules]] = getattr(rules, "PARTS", {})
    return parts


def joined_rules(joint: type[PolicyRules], parts: Mapping[str, PolicyRules]) -> PolicyRules:
    """The rules of the families together."""
    values: list[int] = []
    for family, own in parts_of(joint).items():
        values += _values(own)(parts[family])
    joined: PolicyRules = joint(*values)
    return joined


@cache
def _values(rules: type[PolicyRules]) -> Callable[[PolicyRules], tuple[int, ...]]:
    """What gives the values of all rules of a class, in their order."""
    names = tuple(units(rules))
    return attrgetter(*names) if len(names) > 1 else lambda own: (getattr(own, names[0]),)


def part_of(rules: PolicyRules, family: str) -> PolicyRules:
    """The rules of one of the families."""
    own = parts_of(type(rules))[family]
    found: PolicyRules = own(**{field.name: getattr(rules, f"{family}_{field.name}") for field in fields(own)})
    return found


def joined_policy(text: str, parts: Mapping[str, tuple[type[PolicyRules], Mapping[str, str]]]) -> str:
    """The text of the joint policy, with the rules of the families at their places.

    Args:
        text: with the lines ``<eligibility>``, ``<payment>`` and ``<parameters>``.
        parts: the class of rules and the sections of each family's own policy.
    """
    names = [f"{family}_{name}" for family, (rules, _) in parts.items() for name in parameter_names(rules)[1:]]
    places = {
        "<eligibility>": "\n\n".join([_eligibility(family, *part) for family, part in parts.items()]),
        "<payment>": "\n\n".join([_payment(family, *part) for family, part in parts.items()]),
        "<parameters>": "\n".join([f"- {name}: {{{name}}}" for name in names]),
    }
    for place, rules in places.items():
        text = text.replace(place, rules)
    return text


def _eligibility(family: str, rules: type[PolicyRules], sections: Mapping[str, str]) -> str:
    """Whom the rules of a family are for, and the rules."""
    title, intro = sections[""].strip().split("\n", 1)
    said = [sentence for sentence in _sentences(intro) if not sentence.startswith(_COMMON)]
    whom = " ".join(said).replace(_WHO, "For customers")
    return _renamed(family, rules, f"### {_heading(title)}\n{whom}\n{_body(sections['Eligibility'])}")


def _payment(family: str, rules: type[PolicyRules], sections: Mapping[str, str]) -> str:
    return _renamed(family, rules, f"### {_heading(sections[''])}\n{_body(sections['Payment'])}")


def _heading(title: str) -> str:
    found = _TITLE.match(f"{title}\n")
    return found[1] if found else title


def _sentences(text: str) -> Iterable[str]:
    return [f"{sentence.rstrip('.')}." for sentence in text.strip().split(". ")]


def _body(section: str) -> str:
    return section.split("\n", 1)[1].strip()


def _renamed(family: str, rules: type[PolicyRules], text: str) -> str:
    """The text with the family before the name of each parameter."""
    known = parameter_names(rules)[1:]
    return _NAME.sub(lambda match: f"`{family}_{match[1]}`" if match[1] in known else match[0], text)
