"""Whether the pictures a model is judged on are new to it, and whether their labels agree with each other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from service.gate.case import SHORT, Case
from service.model.data import Sample
from service.model.leakage import Pair
from service.model.passport import Check, held


def checks(case: Case) -> Iterator[Check]:
    yield _same_file(case)
    if case.seen:
        yield from _same_group(case)
    yield _same_part(case)
    yield _contradictions(case)


def twins(case: Case) -> list[tuple[Sample, Sample, Pair]]:
    """(seen, unseen, pair) of each pair of one part across training and test, the most alike first."""
    count, samples = len(case.seen), [*case.seen, *case.unseen]
    across = [pair for pair in case.duplicates.pairs if pair.first < count <= pair.second]
    ordered = sorted(across, key=lambda pair: -pair.similarity)
    return [(samples[pair.first], samples[pair.second], pair) for pair in ordered]


def contradictions(case: Case) -> list[tuple[Sample, Sample, Pair]]:
    """Pairs of one part with different labels, both of them sure."""
    samples = [*case.seen, *case.unseen]
    pairs = sorted(case.duplicates.pairs, key=lambda pair: -pair.similarity)
    told = [(samples[pair.first], samples[pair.second], pair) for pair in pairs]
    return [(one, other, pair) for one, other, pair in told if one.label != other.label and one.sure == other.sure == 1]


def _same_file(case: Case) -> Check:
    known = {digest for part, some in case.contract.pictures.items() if part != "test" for digest in some}
    if case.training is not None:
        known |= {digest[:SHORT] for digest in case.training.digests}
    digest_of = dict(zip((id(one) for one in case.data.samples), case.data.digests, strict=True))
    found = [one for one in case.unseen if digest_of[id(one)][:SHORT] in known]
    if not known:
        why = _unknown(case)
        return Check(
            name="leak: same file", value=None, limit=0, verdict="pass" if case.vouched else "undecided", why=why
        )
    why = f"{len(found)} of the {len(case.unseen)} pictures it is judged on are files that it was trained on"
    why += f", {_named(found)}: their figures are worth nothing." if found else "."
    return held("leak: same file", len(found), 0, not found, why)


def _unknown(case: Case) -> str:
    if case.vouched:
        return f"Nobody knows which pictures the model was trained on; {case.vouched} vouches that these are new to it."
    return (
        "Nobody knows which pictures the model was trained on, so these may be among them; give what it was trained on with --training, "
        "or have somebody vouch with --vouched NAME."
    )


def _named(samples: Sequence[Sample]) -> str:
    names = [one.name for one in samples[:3]]
    return ", ".join(names) + (f" and {len(samples) - 3} more" if len(samples) > 3 else "")


def _same_group(case: Case) -> Iterator[Check]:
    """Only where both sides say which part a picture shows."""
    known = {one.group for one in case.seen if one.group is not None}
    grouped = [one for one in case.unseen if one.group is not None]
    if known and grouped:
        found = [one for one in grouped if one.group in known]
        why = f"{len(found)} of {len(grouped)} pictures belong to a group (a part, a lot) that it was trained on"
        why += f", {_named(found)}: judge it on groups that it has never seen." if found else "."
        yield held("leak: same group", len(found), 0, not found, why)


def _same_part(case: Case) -> Check:
    limit = case.rule.twins
    if not case.seen:
        return Check(
            name="leak: same part",
            value=None,
            limit=limit,
            verdict="pass" if case.vouched else "undecided",
            why=_unknown(case),
        )
    if case.duplicates.limit is None:
        why = "The parts are so alike that pictures cannot tell them apart; give each picture its group, so that this can be answered."
        told = any(one.group for one in case.unseen)
        return Check(name="leak: same part", value=None, limit=limit, verdict="pass" if told else "undecided", why=why)
    found = {other.name: one.name for one, other, _ in twins(case)}
    share = len(found) / len(case.unseen)
    why = f"{len(found)} of the {len(case.unseen)} pictures show a part of which another photograph was in training ({share:.1%})"
    if share > limit:
        first = next(iter(found.items()))
        why += f", such as {first[0]} and {first[1]}. What it says of them it may remember; keep all photographs of a part on one side."
    else:
        why += "."
    return held("leak: same part", share, limit, share <= limit, why)


def _contradictions(case: Case) -> Check:
    found = contradictions(case)
    share = len({one.name for pair in found for one in pair[:2]}) / (len(case.seen) + len(case.unseen))
    why = f"{len(found)} pairs of pictures look like one part and have different labels ({share:.1%} of the pictures)"
    if found:
        one, other, _ = found[0]
        why += f", such as {one.name} ({one.label}) and {other.name} ({other.label})"
    if share > case.rule.contradictions:
        why += ". Nothing can be learned from labels that disagree; have them looked at again"
    return held("contradictions", share, case.rule.contradictions, share <= case.rule.contradictions, f"{why}.")
