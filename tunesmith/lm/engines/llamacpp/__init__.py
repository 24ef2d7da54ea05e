"""llama.cpp in this process: `embedded` and `gguf:<path>`."""
