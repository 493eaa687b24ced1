"""Bytes and records: payloads, OBUs, boxes. No libav, no pictures."""
