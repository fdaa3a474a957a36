"""Features on disk, and the frames of a clip."""
