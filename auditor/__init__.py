"""Whether every Azure VM can really be recovered, with evidence an external auditor accepts."""

__version__ = "0.1.0"
