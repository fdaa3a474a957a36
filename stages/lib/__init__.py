"""What stages and commands are built from: importable, tested, and ignorant of where files lie."""
