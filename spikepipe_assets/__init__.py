"""The platform: the Dagster asset graph over `spikepipe_core`, and the `spikepipe` command."""
