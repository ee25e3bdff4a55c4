"""Files of pages and lists of them, as people have them."""
