"""The catalogue: what the miniature study may rely on."""

import pickle
from pathlib import Path

import pytest

from mixtures import fetch, sources
from mixtures.documents import Document
from mixtures.errors import Failure
from mixtures.sources import KINDS, QUICKSTART, Source, provenance

BY_NAME = {source.name: source for source in QUICKSTART}


def test_names_are_unique_and_kinds_known() -> None:
    assert len(BY_NAME) == len(QUICKSTART)
    assert {source.kind for source in QUICKSTART} == set(KINDS) - {"math", "instruct"}


@pytest.mark.parametrize("source", QUICKSTART, ids=lambda source: source.name)
def test_every_source_states_package_version_and_licence(source: Source) -> None:
    packages = provenance(source)
    assert packages
    for package in packages:
        assert package.name and package.version
        assert package.licence and "\n" not in package.licence
        assert package.licence != "see the package", package.name


@pytest.mark.parametrize("source", QUICKSTART, ids=lambda source: source.name)
def test_a_source_can_be_sent_to_another_process(source: Source) -> None:
    sent = pickle.loads(pickle.dumps(source))
    assert (sent.name, sent.max_bytes, provenance(sent)) == (source.name, source.max_bytes, provenance(source))


def test_a_source_reads_the_same_after_it_was_sent() -> None:
    source = BY_NAME["description-prose"]
    sent = pickle.loads(pickle.dumps(source))
    assert list(sent.read(Path("unused"))) == list(source.read(Path("unused")))


def test_no_source_reads_what_is_not_permissive() -> None:
    copyleft = ("MPL", "GPL-3", "LGPL", "AGPL")
    for source in QUICKSTART:
        for package in provenance(source):
            assert not any(licence in package.licence for licence in copyleft), (source.name, package)


def test_a_missing_distribution_names_source_package_and_way_out() -> None:
    source = Source("mine", "code", "python", 1, lambda cache: iter(()), installed=("no-such-package",))
    with pytest.raises(Failure, match=r"source 'mine': package 'no-such-package' is not installed; run `make setup`"):
        provenance(source)


def test_a_missing_archive_names_the_source_and_the_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple/")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(fetch, "PAUSE_SECONDS", 0.0)
    with pytest.raises(Failure, match=r"source 'notebooks': flax-.* cannot be downloaded .*check the network"):
        list(BY_NAME["notebooks"].read(tmp_path))


def test_fixed_packages_do_not_depend_on_what_else_is_installed() -> None:
    documents = list(BY_NAME["c-cpp"].read(Path("unused")))
    assert {document.group for document in documents} <= {fetch.canonical(name) for name in sources.C_PACKAGES}
    assert len({document.id for document in documents}) == len(documents)


@pytest.mark.network
@pytest.mark.parametrize("name", ["literature", "notebooks", "yaml"])
def test_an_archived_source_reads_the_same_twice_and_has_groups_to_hold_out(name: str) -> None:
    cache = Path("runs/downloads")
    once: list[Document] = list(BY_NAME[name].read(cache))
    assert once == list(BY_NAME[name].read(cache))
    assert len({document.id for document in once}) == len(once)
    assert len({document.group for document in once}) >= 4
