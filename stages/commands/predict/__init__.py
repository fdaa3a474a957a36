"""Detect the sound events of recordings and of live streams."""
