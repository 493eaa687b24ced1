"""What makes the pretrained heads. Nothing that decodes or encodes imports it."""
