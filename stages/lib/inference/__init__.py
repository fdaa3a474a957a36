"""From a model to events: runtimes, streams, events."""
