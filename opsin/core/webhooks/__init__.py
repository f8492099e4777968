"""Webhooks: events of the log, sent to addresses that companies name; one sender for every API."""
