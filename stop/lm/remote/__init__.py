"""OpenAI-compatible servers: requests, retries, dialects, and servers that fall silent."""
