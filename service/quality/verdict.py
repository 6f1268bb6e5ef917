"""What figures of agreement are worth, in words: the limits of the AIAG manual "Measurement Systems Analysis", 4th edition.

The manual judges the figure; what its limits leave open is said beside.
"""

from __future__ import annotations

from typing import Final

from service.quality.study import Result
from service.records import Estimate, Kappa

LIMITS: Final = {"effectiveness": (0.90, 0.80), "missed": (0.02, 0.05), "false_alarm": (0.05, 0.10)}
"""Acceptable and marginal (AIAG MSA, 4th edition: the table of effectiveness, miss rate and false alarm rate)."""

WORDS: Final = {"effectiveness": "effectiveness", "missed": "miss share", "false_alarm": "false-alarm share"}
GRADES: Final = ("acceptable", "marginal", "not acceptable")
KAPPA_GOOD, KAPPA_POOR = 0.75, 0.40


def grade(measure: str, value: float) -> str:
    """A word of GRADES for effectiveness, missed or false_alarm.

    >>> grade("effectiveness", 0.84), grade("missed", 0.02), grade("false_alarm", 0.2)
    ('marginal', 'acceptable', 'not acceptable')
    """
    acceptable, marginal = LIMITS[measure]
    sign = 1 if measure == "effectiveness" else -1
    if sign * value >= sign * acceptable:
        return GRADES[0]
    return GRADES[1] if sign * value >= sign * marginal else GRADES[2]


def proven(measure: str, share: Estimate) -> bool:
    """Whether the limits are acceptable, too."""
    return grade(measure, share.lower) == grade(measure, share.upper) == GRADES[0]


def graded(measure: str, share: Estimate) -> str:
    """The manual judges the point; what the limits leave open is said beside."""
    if share.point is None:
        return share.reason
    words = grade(measure, share.point)
    ends = sorted({grade(measure, share.lower), grade(measure, share.upper)}, key=GRADES.index)
    return words if ends == [words] else f"{words} (limits: {ends[0]} to {ends[-1]})"


def kappa_in_words(kappa: Kappa) -> str:
    """Above 0.75 good, below 0.40 poor; what lies between, for which the manual has no word, is called fair here.

    >>> kappa_in_words(Kappa(0.8, 0.3, 0.9, 30))
    'good (limits: poor to good)'
    """
    if kappa.point is None:
        return "everybody always said the same: chance alone would agree" if kappa.parts else "nothing to compare yet"
    words, lowest, highest = (_kappa_word(value) for value in (kappa.point, kappa.lower, kappa.upper))
    return words if lowest == highest else f"{words} (limits: {lowest} to {highest})"


def _kappa_word(value: float) -> str:
    return "good" if value > KAPPA_GOOD else "poor" if value < KAPPA_POOR else "fair"


def summary(found: Result) -> list[str]:
    """One sentence for each inspector, and before them what is missing."""
    lines = []
    if missing := found.due - found.answered:
        lines.append(f"Not complete: {missing} of {found.due} answers are missing; the figures are of what is there.")
    for one in found.appraisers:
        judged = {
            "effectiveness": one.effectiveness.point,
            "missed": one.missed.point,
            "false_alarm": one.false_alarm.point,
        }
        grades = {measure: grade(measure, value) for measure, value in judged.items() if value is not None}
        if not grades:
            lines.append(f"{one.inspector}: nothing to judge by yet.")
            continue
        worst = max(grades.values(), key=GRADES.index)
        of = [WORDS[measure] for measure, word in grades.items() if word == worst]
        if worst != GRADES[0]:
            lines.append(f"{one.inspector}: {worst} by {' and '.join(filter(None, (', '.join(of[:-1]), of[-1])))}.")
        elif all(proven(measure, getattr(one, measure)) for measure in grades):
            lines.append(f"{one.inspector}: acceptable, and proven.")
        else:
            lines.append(f"{one.inspector}: acceptable by the figures; so few parts do not prove it.")
    return lines
