"""Measuring what lessons do: suites, conversations, and the artifacts that leave the app. The app uses none of it."""
