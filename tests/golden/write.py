"""Write the golden files again, after a change that is meant to move results: python -m tests.golden.write"""

import json

from tests.experiments import test_numerics
from tests.mixtures import test_order

if __name__ == "__main__":
    for module in (test_order, test_numerics):
        module.GOLDEN.write_text(json.dumps(module.golden()) + "\n")
        print(f"wrote {module.GOLDEN.name}")
