"""Agreement beyond chance, and its limits, when a part may have been judged by several people, several times.

The point is Cohen's (1960) for two columns of answers and Fleiss' (1971) for any number of raters. The answers to one part hang
together: who errs on it once will err again. So both pieces of the limits count parts, not answers, and the wider one holds:

* the jackknife over parts (Fleiss and Davies 1982, "Jackknifing functions of multinomial frequencies, with an application to a
  measure of concordance"), with Student's quantile; it is blind where everybody agreed;
* Cohen's own limits, which take the agreement by chance as known, with Clopper-Pearson's (1934) limits of the observed agreement
  in place of the normal ones: full agreement on five parts is not kappa 1 for certain.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import sqrt

from scipy.special import betaincinv, stdtrit

from service.records import Kappa


@dataclass(frozen=True, slots=True)
class Tally:
    """What one part adds: of `n` comparisons so many agreed, and how often each class stood in the one and the other column."""

    n: float
    agreed: float
    one: Mapping[str, float]
    other: Mapping[str, float]


def of_pairs(pairs: Iterable[tuple[str, str]]) -> Tally:
    """A part on which two columns of answers are compared: inspector and inspector, or inspector and reference."""
    said = [*pairs]
    agreed = sum(one == other for one, other in said)
    return Tally(len(said), agreed, Counter(one for one, _ in said), Counter(other for _, other in said))


def of_raters(ratings: Iterable[Sequence[str]]) -> Tally:
    """A part that was rated by two or more, once or in several rounds: the answers of each round."""
    n = 0
    agreed = 0.0
    shares: Counter[str] = Counter()
    for said in ratings:
        votes = Counter(said)
        n += 1
        agreed += sum(k * (k - 1) for k in votes.values()) / (len(said) * (len(said) - 1))
        for label, k in votes.items():
            shares[label] += k / len(said)  # type: ignore[assignment]
    return Tally(n, agreed, shares, shares)


def kappa_of(parts: Sequence[tuple[Tally, int]], confidence: float = 0.95) -> Kappa:
    """Kappa over all parts, given as (tally, how many parts are alike).

    >>> alike = [(("bad", "bad"), 20), (("bad", "good"), 5), (("good", "bad"), 10), (("good", "good"), 15)]
    >>> found = kappa_of([(of_pairs([said]), n) for said, n in alike])
    >>> round(found.point, 3), round(found.lower, 2), round(found.upper, 2)
    (0.4, 0.11, 0.66)
    """
    size = sum(count for _, count in parts)
    total = _added(parts)
    point, by_chance = _kappa(total)
    if point is None:
        return Kappa(None, -1.0, 1.0, size)
    x = size * total.agreed / total.n
    tail = (1 - confidence) / 2
    least = float(betaincinv(x, size - x + 1, tail)) if x > 0 else 0.0
    most = float(betaincinv(x + 1, size - x, 1 - tail)) if x < size else 1.0
    spread = _jackknife(parts, total, size) * float(stdtrit(size - 1, 1 - tail)) if size > 1 else 0.0
    lower = min((least - by_chance) / (1 - by_chance), point - spread)
    upper = max((most - by_chance) / (1 - by_chance), point + spread)
    return Kappa(point, max(lower, -1.0), min(upper, 1.0), size)


def _added(parts: Sequence[tuple[Tally, int]]) -> Tally:
    one: Counter[str] = Counter()
    other: Counter[str] = Counter()
    for part, count in parts:
        for label, k in part.one.items():
            one[label] += k * count  # type: ignore[assignment]
        for label, k in part.other.items():
            other[label] += k * count  # type: ignore[assignment]
    return Tally(
        sum(part.n * count for part, count in parts), sum(part.agreed * count for part, count in parts), one, other
    )


def _kappa(total: Tally) -> tuple[float | None, float]:
    """Kappa and the agreement by chance; None where chance alone would agree."""
    if not total.n:
        return None, 1.0
    by_chance = sum(total.one[label] * total.other.get(label, 0.0) for label in total.one) / total.n**2
    if by_chance > 1 - 1e-12:
        return None, 1.0
    return (total.agreed / total.n - by_chance) / (1 - by_chance), by_chance


def _jackknife(parts: Sequence[tuple[Tally, int]], total: Tally, size: int) -> float:
    """The standard error, from kappa without each part in turn; one that alone makes kappa defined is passed over."""
    without = [(_kappa(_less(total, part))[0], count) for part, count in parts]
    known = [(value, count) for value, count in without if value is not None]
    n = sum(count for _, count in known)
    if n < 2:
        return 0.0
    mean = sum(value * count for value, count in known) / n
    return sqrt((size - 1) / size * sum(count * (value - mean) ** 2 for value, count in known))


def _less(total: Tally, part: Tally) -> Tally:
    return Tally(
        total.n - part.n,
        total.agreed - part.agreed,
        {label: k - part.one.get(label, 0.0) for label, k in total.one.items()},
        {label: k - part.other.get(label, 0.0) for label, k in total.other.items()},
    )
