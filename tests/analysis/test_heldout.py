"""Held-out documents as a task: a window of each, at a place that its name chooses, with its source and its group."""

from analysis.evals.questions import VERSION
from analysis.evals.scoring import item as scored
from analysis.evals.tasks import text_task
from analysis.metrics import metrics_for
from analysis.records import EvalRecord
from analysis.task_scores import scores_of
from mixtures.documents.document import Document


def test_heldout_documents_keep_their_source() -> None:
    def documents(n: int) -> list[Document]:
        return [Document(f"page{i}", f"package{i}", f"{i} " * 900) for i in range(n)]

    task = text_task("heldout/code", {"python": documents(9), "c-cpp": documents(9)}, 4_000)
    assert len({question.id for question in task.questions}) == len(task.questions)
    assert {question.source for question in task.questions} == {"python", "c-cpp"}
    assert all(len(question.candidates[0][1].encode()) <= 1_024 for question in task.questions)
    assert all(question.id.endswith(f"/page{question.cluster.removeprefix('package')}") for question in task.questions)
    (record,) = [
        EvalRecord(
            "heldout/code",
            VERSION,
            "",
            "",
            1,
            tuple(scored(q, [float(len(q.candidates[0][1]))], None) for q in task.questions),
        )
    ]
    assert all(item["cluster"].startswith("package") and item["bytes"] <= 1_024 for item in record.items)
    found = scores_of(record, "")
    assert set(found) == {"heldout/code", "heldout/code/python", "heldout/code/c-cpp"}
    names = [metric.name for metric in metrics_for(found)]
    assert names == ["heldout/code/bpb", "heldout/code/c-cpp/bpb", "heldout/code/python/bpb"]


def test_a_held_out_window_lies_anywhere_in_its_document() -> None:
    """The beginnings are licences, imports and titles; a window is at a place that the id's hash chooses."""
    texts = ["# a licence, as everywhere\n" + "".join(f"é{n:05}\n" for n in range(1_000)) for _ in range(40)]
    documents = [Document(f"page{n}", "g", text) for n, text in enumerate(texts)]
    asked = text_task("heldout/code", {"python": documents}, 10**9, length=64).questions
    windows = {question.id: question.candidates[0][1] for question in asked}
    assert len(windows) == 40 and all(60 <= len(text.encode()) <= 64 for text in windows.values())
    places = sorted(texts[0].index(text) / len(texts[0]) for text in windows.values())
    assert places[0] < 0.15 and places[-1] > 0.85 and sum(place < 0.5 for place in places) in range(10, 31)
    again = text_task("heldout/code", {"python": documents[::-1]}, 10**9, length=64).questions
    assert {question.id: question.candidates[0][1] for question in again} == windows
    starts = text_task("heldout/code", {"python": documents}, 10**9, length=64, place="start").questions
    assert all(question.candidates[0][1].startswith("# a licence") for question in starts)
    (short,) = text_task("heldout/code", {"python": [Document("p", "g", " short\n")]}, 10**9).questions
    assert short.candidates == (("", " short\n"),) and scored(short, [1.0], None)["bytes"] == 7
