"""img2mesh: one photo in, a clean textured mesh out."""
