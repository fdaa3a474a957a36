"""What stages and commands are built from: importable, tested, and independent of where files lie."""
