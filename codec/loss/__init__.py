"""The loss-stream: what a prediction lacks."""
