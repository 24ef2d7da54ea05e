"""Several hosts that serve one model."""
