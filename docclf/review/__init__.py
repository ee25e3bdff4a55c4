"""Labels that look wrong, reviewed by a person in a page of this machine."""
