"""What happens when something is pressed, a module for each panel."""
