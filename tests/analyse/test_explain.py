"""Why cells fail, from whole records: haproxy#2569, faults of one axis, noise, several runs, bad input."""

from collections.abc import Callable

import pytest
import samples
from issue_2569 import CCM, CHACHA20, GCM, record
from samples import ARCH_VALUES, CIPHERS, LIBRESSL, OPENSSL, cell, haproxy, product, run

from orchestrator.analyse import explain as explaining
from orchestrator.analyse.explain import Cluster, explain
from orchestrator.errors import NothingSelectedError, UsageError
from orchestrator.matrix.select import parse
from orchestrator.outcome import Outcome, Reason, Verdict
from orchestrator.record.model import AeadCheck, Attempt, Axes, CellRecord, RunRecord, SelfTest

HAPROXY = tuple(haproxy(version) for version in ("3.0.11", "3.2.25", "3.4.6"))
CHACHA_BROKEN = ("tls=libressl<4.0", f"negotiated={CHACHA20}")


def made(judge: Callable[[Axes], Reason | None]) -> RunRecord:
    """Both architectures, three versions of HAProxy, two libraries, five suites."""
    return run(product(judge, HAPROXY, (OPENSSL, LIBRESSL)))


def cluster_of(found: RunRecord, *filters: str) -> Cluster:
    (cluster,) = explain([found], filters).clusters
    return cluster


def test_haproxy_2569_is_named() -> None:
    by_reason = {one.reason: one for one in explain([record()]).clusters}
    hang, refused = by_reason[Reason.HANDSHAKE_THEN_HANG], by_reason[Reason.HANDSHAKE_REFUSED]
    assert hang.when == refused.when == CHACHA_BROKEN
    assert (len(hang.cells), hang.passing, hang.others_failing) == (12, 0, 0)
    assert hang.irrelevant == ("arch",), "arm64 is a red herring; haproxy is not, since later ones refuse"
    assert hang.otherwise == {"handshake-refused": 12}
    assert hang.borders == ("tls: it fails with libressl-3.9.2, and not with libressl-4.0.0",)
    assert hang.confidence == "strong"
    assert by_reason[Reason.SERVER_CRASHED].when[0] == "tls=libressl<4.0"


def test_the_default_offer_on_arm64_falls_into_the_cluster_of_the_forced_one() -> None:
    (hang, _) = explain([record((GCM, CHACHA20, "default"))]).clusters
    assert {id_.split(".")[0] for id_ in hang.maybe} == {"arm64"}
    assert all(id_.endswith(".default") for id_ in hang.maybe)
    assert len(hang.maybe) == 6


def test_a_filter_asks_of_axes_and_of_what_follows_from_them() -> None:
    only = explain([record()], ["quic-api=native", f"cipher!={CCM}", "arch=arm64", f"negotiated!={GCM}"])
    assert only.failing == 10, (
        "default cells that hang have no suite that is known, so they match neither way"
    )
    with pytest.raises(UsageError, match="no axis 'negotiate'; did you mean 'negotiated'"):
        explain([record()], ["negotiate=x"])
    with pytest.raises(UsageError, match="no cell has negotiated 'TLS_X'"):
        explain([record()], ["negotiated=TLS_X"])
    with pytest.raises(NothingSelectedError):
        explain([record()], ["arch=arm64", "arch=amd64"])


def test_a_condition_can_be_pasted_as_a_filter() -> None:
    whole = record()
    (cluster, *_) = explain([whole]).clusters
    assert explain([whole], cluster.when).passing == 0


def test_an_axis_is_preferred_to_what_follows_from_it() -> None:
    """cipher=X and negotiated=X are the same cells here, as are arch=arm64 and emulated=yes."""
    cluster = cluster_of(
        made(lambda axes: Reason.WRONG_BODY if axes.cipher.suite == CHACHA20 else None),
        "cipher!=default",
    )
    assert cluster.when == (f"cipher={CHACHA20}",)
    assert (cluster.confounded, cluster.alternatives) == ((), ()), "the same in other words is no doubt"
    assert cluster.confidence == "strong"
    cluster = cluster_of(made(lambda axes: Reason.WRONG_BODY if axes.arch.name == "arm64" else None))
    assert cluster.when == ("arch=arm64",)
    assert ("arch=arm64", "emulated=yes") in cluster.confounded
    assert cluster.confidence == "fair"
    assert cluster.irrelevant == ("haproxy", "tls", "cipher")


def test_several_faults_are_several_clusters() -> None:
    def judge(axes: Axes) -> Reason | None:
        if axes.tls is LIBRESSL and axes.cipher.suite == CCM:
            return Reason.SERVER_CRASHED
        return Reason.WRONG_BODY if axes.haproxy.version == "3.4.6" and axes.arch.name == "arm64" else None

    found = explain([made(judge)])
    assert {(one.reason, one.when) for one in found.clusters} == {
        (Reason.SERVER_CRASHED, ("tls=libressl-3.9.2", f"cipher={CCM}")),
        (Reason.WRONG_BODY, ("arch=arm64", "haproxy=3.4.6")),
    }
    assert found.unexplained == ()


def test_missing_data_is_neither_pass_nor_failure() -> None:
    """All of amd64 was blocked: then nothing says that arm64 is a condition."""

    def judge(axes: Axes) -> Reason | None:
        if axes.arch.name == "amd64":
            return Reason.PREREQUISITE
        return Reason.WRONG_BODY if axes.tls is LIBRESSL else None

    assert cluster_of(made(judge)).when == ("tls=libressl-3.9.2",)


def test_a_single_failing_cell_is_unexplained_and_its_neighbours_are_named() -> None:
    whole = made(
        lambda axes: (
            Reason.WRONG_BODY
            if (axes.arch.name, axes.haproxy.version, axes.tls, axes.cipher.suite)
            == ("arm64", "3.2.25", LIBRESSL, CHACHA20)
            else None
        )
    )
    found = explain([whole])
    (bad,) = [one for one in whole.cells if one.outcome is Outcome.FAIL]
    assert (found.clusters, found.unexplained) == ((), (bad.id,))
    few = whole.model_copy(update={"cells": (bad, *(one for one in whole.cells if one.axes.tls is OPENSSL))})
    assert all("tls=libressl-3.9.2" in words for words in explain([few]).neighbours)
    assert len(explain([few]).neighbours) == 1 + 2 + 3, "curl cannot offer CCM; the library has run"


def test_cells_that_would_decide_are_named() -> None:
    """All that was run of arm64 has LibreSSL: which of the two is it?"""
    whole = made(lambda axes: Reason.WRONG_BODY if axes.arch.name == "arm64" else None)
    few = whole.model_copy(
        update={
            "cells": tuple(
                one for one in whole.cells if (one.axes.arch.name == "arm64") == (one.axes.tls is LIBRESSL)
            )
        }
    )
    (cluster,) = explain([few]).clusters
    assert cluster.when == ("arch=arm64",)
    assert ("arch=arm64", "tls=libressl-3.9.2") in cluster.confounded
    (words,) = cluster.decide
    chosen = {parse(word).axis: parse(word).terms[0].name for word in words.split() if "=" in word}
    assert (chosen["arch"] == "arm64") != (chosen["tls"] == "libressl-3.9.2")


def test_a_cell_of_the_run_that_was_blocked_decides_before_any_other() -> None:
    def judge(axes: Axes) -> Reason | None:
        arm, libre = axes.arch.name == "arm64", axes.tls is LIBRESSL
        return (Reason.WRONG_BODY if arm else None) if arm == libre else Reason.PREREQUISITE

    (cluster,) = explain([made(judge)]).clusters
    (words,) = cluster.decide
    assert words.startswith("--cell ")


def test_several_runs_add_outcomes_and_a_flaky_cell_destroys_no_explanation() -> None:
    base = made(lambda axes: Reason.WRONG_BODY if axes.arch.name == "arm64" else None)
    passed = tuple(cell(one.axes, None) for one in base.cells[-3:])
    other = base.model_copy(update={"cells": passed, "run": base.run.model_copy(update={"id": "other"})})
    found = explain([base, other])
    (cluster,) = found.clusters
    assert (found.also, cluster.when, cluster.mixed) == (("other",), ("arch=arm64",), 3)


def test_a_pass_inside_is_an_exception_that_is_named() -> None:
    base = made(lambda axes: Reason.WRONG_BODY if axes.arch.name == "arm64" else None)
    cells = (*base.cells[:-1], cell(base.cells[-1].axes, None))
    (cluster,) = explain([base.model_copy(update={"cells": cells})]).clusters
    assert cluster.when == ("arch=arm64",)
    assert (cluster.passing, cluster.exceptions) == (1, (base.cells[-1].id,))


def test_runs_in_which_an_id_means_another_cell_are_refused() -> None:
    base = made(lambda _: None)
    first = base.cells[0]
    other = first.model_copy(update={"axes": first.axes.model_copy(update={"tls": LIBRESSL})})
    with pytest.raises(UsageError, match="is not the same one in these runs: its tls differs"):
        explain([base, base.model_copy(update={"cells": (other,)})])


def test_what_cannot_count_as_a_pass_is_missing() -> None:
    base = made(lambda _: None)
    doubted = base.cells[0].model_copy(update={"verdict": Verdict.NOT_JUDGED})
    found = explain([base.model_copy(update={"cells": (doubted, *base.cells[1:])})])
    assert (found.missing, found.passing) == (1, len(base.cells) - 1)


def test_the_self_test_is_told_beside_a_cluster_and_is_never_its_condition() -> None:
    whole = record((GCM, CHACHA20))
    tests = tuple(
        SelfTest(
            tls=tls.name,
            arch=arch.name,
            execution="default",
            library=tls.name,
            problem="",
            checks=tuple(
                AeadCheck(
                    suite=suite,
                    api="evp-cipher",
                    check="open-in-place",
                    ok=not (suite == CHACHA20 and tls.name in {"libressl-3.6.3", "libressl-3.9.2"}),
                    detail="",
                )
                for suite in (GCM, CHACHA20)
            ),
            evidence=(),
        )
        for arch in ARCH_VALUES
        for tls in {one.axes.tls.name: one.axes.tls for one in whole.cells}.values()
    )
    found = explain([whole.model_copy(update={"selftests": tests})])
    assert all("selftest" not in text for one in found.clusters for text in one.when)
    assert "selftest=open-in-place in 12 of 12 of these cells, and in 0 of" in found.clusters[0].cause


def test_a_cell_with_mixed_attempts_is_a_failure_that_is_counted_as_mixed() -> None:
    base = made(lambda axes: Reason.WRONG_BODY if axes.tls is LIBRESSL else None)

    def repeated(one: CellRecord) -> CellRecord:
        (first,) = one.attempts
        passed: Attempt = first.model_copy(update={"number": 2, "outcome": Outcome.PASS, "reason": None})
        return one.model_copy(update={"attempts": (first, passed)})

    cells = tuple(repeated(one) if one.outcome is Outcome.FAIL else one for one in base.cells)
    cluster = cluster_of(base.model_copy(update={"cells": cells}))
    assert (cluster.when, cluster.mixed) == (("tls=libressl-3.9.2",), len(cluster.cells))


def test_the_answer_fits_its_schema_and_is_the_same_each_time() -> None:
    jsonschema = pytest.importorskip("jsonschema")
    found = explain([record()])
    jsonschema.validate(found.model_dump(mode="json"), explaining.make_json_schema())
    turned = record()
    turned = turned.model_copy(update={"cells": turned.cells[::-1]})
    assert {(one.id, one.when) for one in explain([turned]).clusters} == {
        (one.id, one.when) for one in found.clusters
    }


def test_a_record_of_large_and_strange_content_is_explained() -> None:
    explain([samples.large(300)])
    explain([samples.mixed()])
    assert len(CIPHERS) == 5


def test_a_border_is_told_where_both_sides_were_seen() -> None:
    def judge(axes: Axes) -> Reason | None:
        if axes.haproxy.version == "3.2.25":
            return Reason.PREREQUISITE
        return Reason.WRONG_BODY if axes.haproxy.version == "3.0.11" else None

    seen = made(lambda axes: Reason.WRONG_BODY if axes.haproxy.version == "3.0.11" else None)
    assert cluster_of(seen).borders == ("haproxy: it fails with 3.0.11, and not with 3.2.25",)
    assert cluster_of(made(judge)).borders == ("haproxy: it fails with 3.0.11, and not with 3.4.6",)


def test_a_failure_of_another_reason_is_no_border() -> None:
    def judge(axes: Axes) -> Reason | None:
        later = axes.haproxy.version != "3.0.11"
        if axes.tls is LIBRESSL:
            return Reason.HANDSHAKE_REFUSED if later else Reason.HANDSHAKE_THEN_HANG
        return None

    for cluster in explain([made(judge)]).clusters:
        assert (cluster.when, cluster.borders) == (("tls=libressl-3.9.2",), ())


def test_a_record_with_an_id_twice_is_explained_as_it_is() -> None:
    base = made(lambda axes: Reason.WRONG_BODY if axes.arch.name == "arm64" else None)
    cells = tuple(one.model_copy(update={"id": "same"}) for one in base.cells)
    (cluster,) = explain([base.model_copy(update={"cells": cells})]).clusters
    assert (cluster.when, len(cluster.cells)) == (("arch=arm64",), 30)
