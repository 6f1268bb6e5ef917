"""Which model judges each line, since when, and how a shadow does against it."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import Metric

from exporters.families import add, gauge
from service.records import Role, Snapshot

OF = ("defect", "role")


def collect(snapshot: Snapshot) -> Iterator[Metric]:
    """One row per line and model in force; of a shadow one per defect too, once parts that both judged are labelled."""
    info = gauge("model_info", "Always 1; role is active or shadow.", "model", "digest", "provider", "role")
    since = gauge(
        "model_since_timestamp_seconds",
        "Capture time of the first part that the model in force judged: windows and evidence begin there.",
    )
    for name, line in snapshot.lines.items():
        for model in line.models:
            info.add_metric((name, model.name, model.digest, model.provider, model.role), 1)
        if line.terms:
            since.add_metric((name,), line.terms[-1].began_at)
    yield from (info, since, *_shadows(snapshot))


def _shadows(snapshot: Snapshot) -> Iterator[Metric]:
    """Of the shadow in force."""
    recall = gauge("shadow_recall_ratio", "Recall of both over the parts that both judged, audit-weighted.", *OF)
    precision = gauge("shadow_precision_ratio", "Precision of both over the parts that both judged.", *OF)
    alone = gauge(
        "shadow_alone_parts",
        "Parts that one flagged and the other did not, audit-weighted; actual is defective or good.",
        *OF,
        "actual",
    )
    test = gauge(
        "shadow_pvalue",
        "Paired test: p-value of both flagging equally many, two-sided, for one look.",
        "defect",
        "actual",
    )
    for name, line in snapshot.lines.items():
        in_force = {(model.role, model.digest) for model in line.models}
        for one in line.comparisons:
            if not {(Role.ACTIVE, one.active), (Role.SHADOW, one.shadow)} <= in_force:
                continue
            for at, role in enumerate((Role.ACTIVE, Role.SHADOW)):
                add(recall, (name, one.defect, role), one.recall[at])
                add(precision, (name, one.defect, role), one.precision[at])
            for actual, found in (("defective", one.caught), ("good", one.false_rejects)):
                alone.add_metric((name, one.defect, Role.ACTIVE, actual), found.by_active)
                alone.add_metric((name, one.defect, Role.SHADOW, actual), found.by_shadow)
                add(test, (name, one.defect, actual), found.p_value)
    yield from (recall, precision, alone, test)
