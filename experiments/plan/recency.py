"""What the models of a study have read, by themselves and before, so that fresh text can be later than all of it."""

from collections.abc import Iterator

from experiments.plan.starts import direct
from experiments.study import Endpoint, FromFolder, Study
from mixtures.fresh.dates import Newest, newest
from mixtures.fresh.pinned import Fresh


def newest_read(study: Study, fresh: Fresh) -> Newest:
    """The newest release that a model of the study, or one that it starts from or is taught by, has read.

    What checkpoints write is of no later day than what they have read.
    """
    studies = list(_studies(study))
    sources = [source for each in studies for source in each.data.sources]
    return newest(sources, fresh, tuple(dict.fromkeys(what for each in studies for what in _others(each))))


def _studies(study: Study) -> Iterator[Study]:
    """`study` and, once each, those whose checkpoints it starts from or is taught by."""
    waiting, known = [study], set()
    while waiting:
        each = waiting.pop()
        if id(each) not in known:
            known.add(id(each))
            yield each
            waiting += [start.study for start, _ in direct(each)]


def _others(study: Study) -> Iterator[str]:
    """Models of which it is not known what they have read."""
    for arm in study.arms:
        if isinstance(arm.start, FromFolder):
            yield f"what the weights of arm '{arm.name}' were trained on"
    for made in study.made:
        yield from (f"what {who.model} was trained on" for who in made.teachers if isinstance(who, Endpoint))
