"""HTTP/1.1 messages, connections and their settings."""
