"""Weight files: their folder, download and hashes."""
