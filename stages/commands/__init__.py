"""What people run besides the pipeline, `python -m stages.commands.NAME`."""
