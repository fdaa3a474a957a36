"""Validate: accept or reject each clip, with reasons."""
