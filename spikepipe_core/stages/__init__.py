"""The pipeline's steps, one module each. `spikepipe_core.graph` has them in order."""
