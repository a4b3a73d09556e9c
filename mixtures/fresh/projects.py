"""The projects whose releases fresh documents are looked for in, with the licence of each; all are permissive.

Small archives that are released often: of one without a release since the day there is nothing, so that there are more
here than a set has.
"""

from collections.abc import Mapping

PROJECTS: Mapping[str, str] = {
    **dict.fromkeys(("anthropic", "coverage", "openai", "pymongo", "tornado"), "Apache-2.0"),
    **dict.fromkeys(("packaging",), "Apache-2.0 OR BSD-2-Clause"),
    **dict.fromkeys(("apprise",), "BSD-2-Clause"),
    **dict.fromkeys(("msgspec", "pydata-sphinx-theme", "sphinx", "ujson"), "BSD-3-Clause"),
    **dict.fromkeys(("cbor2", "charset-normalizer", "faker", "filelock", "librt"), "MIT"),
    **dict.fromkeys(("mkdocs-material", "platformdirs", "pydantic", "soupsieve", "zensical"), "MIT"),
}
