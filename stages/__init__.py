"""The stages of the pipeline, one module each; what they compute is in `stages.lib`."""
