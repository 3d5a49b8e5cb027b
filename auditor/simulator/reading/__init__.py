"""The sections of an estate file -> the documents that the simulator serves."""
