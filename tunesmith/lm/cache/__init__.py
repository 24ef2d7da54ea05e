"""The reply cache on disk."""
