"""What is drawn, a module for each panel. No logic."""
