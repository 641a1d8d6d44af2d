"""The report that says whether to deploy a policy, as Markdown and as a page of HTML that needs no other file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path

from ss_gym.whole_file import whole_file
from ss_trainers.off_policy.estimates import ESTIMATORS, OffPolicyEstimate, PolicyEvaluation
from ss_trainers.off_policy.interval_chart import Interval, interval_chart
from ss_trainers.off_policy.verdicts import Decision, DeploymentRule, Verdict, verdict_of

_STYLE = """
:root { color-scheme: light }
body { font: 15px/1.5 system-ui, sans-serif; color: #23272e; background: #fff; max-width: 68rem; margin: 2rem auto;
       padding: 0 1rem }
h1 { font-size: 1.6rem; margin: 0 0 1rem } h2 { font-size: 1.15rem; margin: 2.2rem 0 .6rem }
table { border-collapse: collapse } th { text-align: left; font-weight: 500; padding: .2rem 1.2rem .2rem 0 }
td, th { vertical-align: top; border-bottom: 1px solid #e5e8ec } td { padding: .2rem .8rem .2rem 0 }
td.number, th.number { text-align: right; padding: .2rem 0 .2rem .8rem }
td.number { font-size: .87rem; font-variant-numeric: tabular-nums; white-space: nowrap }
.wide { overflow-x: auto } .legend { color: #59616b; font-size: .87rem }
svg { width: 100%; height: auto } .deploy { color: #2f7d32 } .do-not-deploy { color: #b3261e }
.not-known { color: #8a6100 }
"""
_HEADINGS = ("policy", *ESTIMATORS.values(), "effective episodes", "mean weight")
_LEGEND = (
    "IS: importance sampling; WIS: the same, weighted; PDIS: the same, per decision; DR: doubly robust; FQE: fitted Q "
    "evaluation. Effective episodes: how many of the policy's own would tell as much as the log. Mean weight, with its "
    "99 % interval: 1 but for chance; where it is not, the log-probabilities are wrong, or the policy does what was "
    "never logged."
)
_DRAWN = "The band is the logged policy; those that have the say are blue."
_CLASSES = {
    Decision.DEPLOY: "deploy",
    Decision.DO_NOT_DEPLOY: "do-not-deploy",
    Decision.NOT_KNOWN: "not-known",
}


@dataclass(frozen=True, slots=True)
class DeploymentReport:
    """What a log says of some policies, and what to do with them.

    Attributes:
        evaluations: by the policies' names.
        verdicts: likewise.
        rule: that they were judged by.
    """

    evaluations: Mapping[str, PolicyEvaluation]
    verdicts: Mapping[str, Verdict]
    rule: DeploymentRule

    @classmethod
    def of(cls, evaluations: Mapping[str, PolicyEvaluation], rule: DeploymentRule | None = None) -> DeploymentReport:
        """Judges policies by one rule.

        Args:
            evaluations: of one log, by the policies' names.
            rule: the default if None.

        Raises:
            ValueError: if there are none, or they are of different logs or settings.
        """
        if not evaluations:
            raise ValueError("there is no policy to report on")
        rule = rule or DeploymentRule()
        first, *others = evaluations.values()
        for other in others:
            if (other.behavior, other.episodes, other.level) != (first.behavior, first.episodes, first.level):
                raise ValueError(
                    "policies can be compared by the same log, rewards and settings only: evaluate them so"
                )
        verdicts = {name: verdict_of(evaluation, rule) for name, evaluation in evaluations.items()}
        return cls(dict(evaluations), verdicts, rule)

    def markdown(self, title: str = "Whether to deploy") -> str:
        """The report for a page.

        Args:
            title: its heading.
        """
        lines = [f"# {title}", "", self._summary(), ""]
        lines += [f"| {' | '.join(_HEADINGS)} |", f"| {' | '.join('---' for _ in _HEADINGS)} |"]
        lines += [f"| {' | '.join(cell.replace('|', '&#124;') for cell in row)} |" for row in self._rows()]
        lines.append("")
        lines += [
            f"* **{name}**: {verdict.decision.value}. {verdict.reason}" for name, verdict in self.verdicts.items()
        ]
        lines += ["", *(f"* {note}" for note in self._notes()), "", _LEGEND]
        return "\n".join(lines).rstrip() + "\n"

    def page(self, title: str = "Whether to deploy") -> str:
        """The report as HTML, with the intervals drawn.

        Args:
            title: its heading.
        """
        parts = [f"<h1>{escape(title)}</h1>", f"<p>{escape(self._summary())}</p>", "<h2>What to do</h2>"]
        parts.append(f"<table>{''.join(map(self._advice, self.verdicts))}</table>")
        parts.append(f"<h2>Intervals</h2><p>{_DRAWN}</p>{self._chart()}<h2>Figures</h2>")
        first, *others = _HEADINGS
        head = f"<th>{first}{''.join(f'<th class=number>{name}' for name in others)}"
        rows = ["".join(f"<td class=number>{escape(cell)}" for cell in row[1:]) for row in self._rows()]
        named = [f"<tr><th>{escape(name)}{row}" for name, row in zip(self.evaluations, rows, strict=True)]
        parts.append(f"<div class=wide><table><tr>{head}{''.join(named)}</table></div>")
        if notes := self._notes():
            parts.append(f"<ul>{''.join(f'<li>{escape(note)}' for note in notes)}</ul>")
        parts.append(f"<p class=legend>{escape(_LEGEND)}</p>")
        head = f"<meta charset=utf-8><title>{escape(title)}</title><style>{_STYLE}</style>"
        return f"<!doctype html><html lang=en><head>{head}</head><body>{''.join(parts)}</body></html>\n"

    def write(self, path: str | os.PathLike[str], title: str = "Whether to deploy") -> Path:
        """Writes the report: Markdown where the name ends in ``.md``, else the page.

        Args:
            path: the file; folders above it are made.
            title: its heading.

        Returns:
            The file.

        Raises:
            OSError: if it can't be written; what was there before is as it was.
        """
        text = self.markdown(title) if Path(path).suffix == ".md" else self.page(title)
        with whole_file(path) as file:
            file.write(text.encode("utf-8"))
        return Path(path)

    def _summary(self) -> str:
        first = next(iter(self.evaluations.values()))
        judges = " and ".join(ESTIMATORS[name] for name in self.rule.estimators)
        return (
            f"{first.episodes:,} logged episodes; the policy that was logged earns {first.behavior} in the mean. "
            f"Intervals are to hold {100 * first.level:.5g} % of the time. A policy is to be "
            f"deployed where the intervals of {judges} are above the logged policy's, and not where they are below "
            f"it; the log has to be worth {self.rule.least:g} episodes of its own."
        )

    def _rows(self) -> list[tuple[str, ...]]:
        return [
            (
                name,
                *(str(one.estimates[estimator]) for estimator in ESTIMATORS),
                f"{one.effective_samples:.1f}",
                str(one.mean_weight),
            )
            for name, one in self.evaluations.items()
        ]

    def _notes(self) -> list[str]:
        """Why estimators say nothing, a sentence for each policy and reason."""
        silent: dict[tuple[str, str], list[str]] = {}
        for name, one in self.evaluations.items():
            for estimator, estimate in one.estimates.items():
                if estimate.reason:
                    silent.setdefault((name, estimate.reason), []).append(ESTIMATORS[estimator])
        return [f"{name}, {', '.join(those)}: {reason}." for (name, reason), those in silent.items()]

    def _advice(self, name: str) -> str:
        verdict = self.verdicts[name]
        told = f"<td class={_CLASSES[verdict.decision]}>{escape(verdict.decision.value)}"
        return f"<tr><th>{escape(name)}{told}<td>{escape(verdict.reason)}"

    def _chart(self) -> str:
        groups = []
        for name, one in self.evaluations.items():
            told = {ESTIMATORS[key]: (one.estimates[key], key in self.rule.estimators) for key in ESTIMATORS}
            groups.append((name, [_interval(label, *each) for label, each in told.items() if each[0].bounds]))
        behavior = _interval("the logged policy", next(iter(self.evaluations.values())).behavior, True)
        return interval_chart(groups, behavior, "mean return of an episode")


def _interval(name: str, estimate: OffPolicyEstimate, strong: bool) -> Interval:
    assert estimate.value is not None and estimate.low is not None and estimate.high is not None
    return Interval(name, estimate.value, estimate.low, estimate.high, strong)
