"""Ollama servers: `ollama/<model>`."""
