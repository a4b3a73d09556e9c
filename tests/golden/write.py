"""Write the golden files again, after a change that is meant to move results: python -m tests.golden.write"""

import json

from tests.mixtures import test_order

if __name__ == "__main__":
    test_order.GOLDEN.write_text(json.dumps(test_order.golden()) + "\n")
    print(f"wrote {test_order.GOLDEN}")
