"""`frames evaluate`: errors of a model on labelled frames, and whether its dynamics hold together."""
