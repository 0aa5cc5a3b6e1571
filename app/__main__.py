"""`python -m app` is `qfchat`."""

from app.cli import main

main()
