"""Caption sounds in a browser, and answer programs over HTTP."""
