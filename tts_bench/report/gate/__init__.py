"""Whether a run is as good and as cheap as its baseline."""
