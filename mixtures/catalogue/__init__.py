"""What there is to read: `files`, `hub` and `generated` make a source of yours; others come along (`laptop.py`)."""

from mixtures.catalogue.own import files, generated, hub

__all__ = ["files", "generated", "hub"]
