"""Names that no class may have, since the pipeline gives them a meaning of its own."""

UNSURE = "unsure"
"""What an event is called where something sounds and no class is certain enough."""

OTHER = "other"
"""By convention a class of other sounds: as the name of an unknown sound it is not wrong."""

RESERVED_CLASSES = (UNSURE, "unknown")
"""Compared without regard to case. `fetch` refuses a dataset with such a class."""
