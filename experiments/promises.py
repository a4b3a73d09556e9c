"""What a study's data hold of a source that checkpoints write, before they have."""

from experiments.study import Made
from mixtures.catalogue.made import promised
from mixtures.catalogue.source import Source


def placeholder(made: Made, kind: str = "instruct") -> Source:
    """The source of that name for `DataSpec.sources`; `experiments.plan.sources.with_made` puts the real one in place.

    It is planned by `made.expected_tokens`, and cannot be read.
    """
    return promised(made.source, kind, expected_tokens=made.expected_tokens)
