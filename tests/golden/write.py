"""Write the golden files again, after a change that is meant to move results: python -m tests.golden.write"""

import json

from tests.experiments import test_numerics
from tests.mixtures import test_order, test_paper, test_synthetic

if __name__ == "__main__":
    for module in (test_order, test_numerics, test_synthetic):
        module.GOLDEN.write_text(json.dumps(module.golden()) + "\n")
        print(f"wrote {module.GOLDEN.name}")
    test_paper.GOLDEN.write_text(test_paper.golden())
    print(f"wrote {test_paper.GOLDEN.name}")
