"""The HTTP interface: OpenAI's under /v1, lessons and versions under /api. It shares the window's engine and queue."""
