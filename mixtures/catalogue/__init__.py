"""What there is to read: `files`, `examples`, `hub` and `generated` make a source of yours; `laptop.py` has others."""

from mixtures.catalogue.own import examples, files, generated, hub

__all__ = ["examples", "files", "generated", "hub"]
