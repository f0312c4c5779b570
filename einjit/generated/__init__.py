"""The package whose modules are the generated sources, entered as they are built."""
