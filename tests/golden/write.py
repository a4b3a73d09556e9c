"""Write the golden files again, after a change that is meant to move results: python -m tests.golden.write"""

import json
import tempfile
from pathlib import Path

from tests.experiments import test_launch_engines, test_numerics, test_studies
from tests.mixtures import (
    test_evolve,
    test_one_operation,
    test_order,
    test_paper,
    test_reader_versions,
    test_synthetic,
)


def write_readers() -> None:
    """Refuses what a reader's version does not tell."""
    path = test_reader_versions.GOLDEN
    with tempfile.TemporaryDirectory() as folder:
        found = test_reader_versions.golden(Path(folder))
    old = json.loads(path.read_text()) if path.exists() else {}
    if names := test_reader_versions.unversioned(old, found):
        raise SystemExit(f"bump READER_VERSION in mixtures/readers/ of {', '.join(names)} first")
    path.write_text(json.dumps(found, indent=1) + "\n")
    print(f"wrote {path.name}")


if __name__ == "__main__":
    for module in (test_order, test_numerics, test_synthetic, test_one_operation, test_evolve):
        module.GOLDEN.write_text(json.dumps(module.golden()) + "\n")
        print(f"wrote {module.GOLDEN.name}")
    for listed in (test_paper, test_studies):
        listed.GOLDEN.write_text(listed.golden())
        print(f"wrote {listed.GOLDEN.name}")
    for engine in test_launch_engines.ENGINES:
        (test_launch_engines.GOLDEN / f"launch-{engine}.yaml").write_text(test_launch_engines.golden(engine))
        print(f"wrote launch-{engine}.yaml")
    write_readers()
