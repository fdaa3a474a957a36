"""Recordings composed of known clips at known times, over backgrounds of several kinds."""
