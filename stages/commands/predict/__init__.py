"""Say what sounds in a recording, and when."""
