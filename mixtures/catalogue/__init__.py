"""What there is to read: `files` and `hub` make a source of yours; `local` and `paper` list those that come along."""

from mixtures.catalogue.own import files, hub

__all__ = ["files", "hub"]
