"""Textured mesh → what leaves the house: its frame, and what game engines want besides."""
