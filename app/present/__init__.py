"""Records as what the window shows: Markdown, rows and HTML. Pure functions; text of users and models is escaped."""
