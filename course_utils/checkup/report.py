"""What a check-up found, as data, as text and as a page."""

import html
from dataclasses import dataclass
from typing import NamedTuple

from .faults import Level


class Finding(NamedTuple):
    """One fault: its level, its name in `FAULTS`, what was seen, why it matters, and what to do."""

    level: Level
    code: str
    seen: str
    why: str
    fix: str

    def __repr__(self) -> str:
        return f"{self.level.upper()} {self.code}: {self.seen}\n  Why: {self.why}\n  Fix: {self.fix}"


@dataclass(frozen=True, repr=False)
class Report:
    """What `check` found. A notebook shows it; `assert not check(sequence).errors` shows the findings.

    Attributes:
        findings: of each fault the first, errors before warnings.
        looked: what was looked at and what was not, in sentences.
    """

    findings: tuple[Finding, ...]
    looked: tuple[str, ...] = ()

    @property
    def errors(self) -> tuple[Finding, ...]:
        """Training would go wrong, hang or die, or data would be lost or false."""
        return tuple(finding for finding in self.findings if finding.level == "error")

    @property
    def warnings(self) -> tuple[Finding, ...]:
        """It costs memory, time or repeatability, or it is only risky."""
        return tuple(finding for finding in self.findings if finding.level == "warning")

    @property
    def title(self) -> str:
        """How many of each, and what was looked at."""
        return f"Errors: {len(self.errors)}, warnings: {len(self.warnings)}. {' '.join(self.looked)}"

    def __repr__(self) -> str:
        return "\n".join([self.title, *map(repr, self.findings)])

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict[str, str]:
        page = f'<section aria-label="Check-up"><p>{html.escape(self.title)}</p>'
        for finding in self.findings:
            level, code, seen, why, fix = map(html.escape, finding)
            page += f"<p><strong>{level.capitalize()}</strong> <code>{code}</code>: {seen}"
            page += f"<br>Why: {why}<br>Fix: {fix}</p>"
        return {"text/plain": str(self), "text/html": page + "</section>"}
