"""The whales API: which whale or dolphin a picture shows, for its clients of today."""
