"""Servers that speak OpenAI's protocol: `openai/<model>` with `base_url=`."""
