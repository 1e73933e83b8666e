"""The science: raw folders to curated units and NWB, with no knowledge of the platform that runs it."""

__version__ = "0.1.0"
