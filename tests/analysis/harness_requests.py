"""What lm-evaluation-harness asks and how it scores, for its shipped tasks on local rows. Run in a process of its own.

    python harness_requests.py FOLDER  <  {task: {"path": of its YAML, "rows": [...], "examples": [...]}}

`rows` are asked, each after `examples` if there are any. Prints, by task, one object a row: the requests, the right
answer, made-up likelihoods with the accuracies that the harness gives them, and which of some replies it accepts.
"""

import io
import json
import os
import sys
from pathlib import Path
from typing import Any

os.environ |= {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "HF_EVALUATE_OFFLINE": "1"}


def requests(folder: Path, asked: dict[str, dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    import lm_eval.tasks

    shipped = Path(lm_eval.tasks.__file__).parent
    for name, spec in asked.items():
        files = {"validation": spec["rows"], "train": spec["examples"] or spec["rows"]}
        for split, rows in files.items():
            (folder / f"{name}-{split}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        settings = {
            "task": f"local_{name}",
            "dataset_path": "json",
            "dataset_name": None,
            "dataset_kwargs": {
                "cache_dir": str(folder / "cache"),
                "data_files": {split: str(folder / f"{name}-{split}.jsonl") for split in files},
            },
            "training_split": "train",
            "validation_split": "validation",
            "test_split": None,
            "num_fewshot": len(spec["examples"]),
            "fewshot_config": {"sampler": "first_n"},
        }
        text = "".join(f"{key}: {json.dumps(value)}\n" for key, value in settings.items())
        (folder / f"{name}.yaml").write_text(f"include: {shipped / spec['path']}\n{text}")
    names = [f"local_{name}" for name in asked]
    tasks = lm_eval.tasks.TaskManager(include_path=str(folder), include_defaults=False).load(names)["tasks"]
    return {name: _rows(tasks[f"local_{name}"]) for name in asked}


def _rows(task: Any) -> list[dict[str, Any]]:
    task.build_all_requests(limit=None, rank=0, world_size=1)
    rows: dict[int, dict[str, Any]] = {}
    for instance in task.instances:
        row = rows.setdefault(instance.doc_id, {"requests": [], "doc": instance.doc})
        row["requests"].append(instance.args)
    for row in rows.values():
        doc = row.pop("doc")
        row["gold"] = task.doc_to_text(doc) if task.multiple_input else task.doc_to_target(doc)
        if task.OUTPUT_TYPE == "multiple_choice":
            if isinstance(row["gold"], str):
                row["gold"] = task.doc_to_choice(doc).index(row["gold"])
            texts = [continuation for _, continuation in row["requests"]]
            # None of them alike: the harness gives all to the first of those, we a share to each.
            row["nats"] = [len(text) * (1 + 0.01 * (7 * i % 5)) + 1e-4 * i for i, text in enumerate(texts)]
            row |= task.process_results(doc, [(-nats, False) for nats in row["nats"]])
        else:
            answer = row["gold"][0]
            said = [answer, answer.upper() + "!", f"the {answer}", f"The {answer} ", f"not {answer}", ""]
            row["said"] = {text: task.process_results(doc, [text.strip()])["exact_match"] for text in said}
    return [row for _, row in sorted(rows.items())]


if __name__ == "__main__":
    printed, sys.stdout = sys.stdout, io.StringIO()
    answer = requests(Path(sys.argv[1]), json.load(sys.stdin))
    print(json.dumps(answer, default=float), file=printed)
